-- Grain: one row per UTC day whose web events are not those of the last build.
-- A day without any event left counts 0. Outside an increment every day is here.
with counted as (
    select
        cast(occurred_at as date) as event_date,
        count(*) as event_count,
        bit_xor({{ hash_of(['event_id', '_row_hash']) }}) as fingerprint
    from {{ ref('stg_web__events') }}
    where occurred_at < {{ as_of_end() }}
    group by 1
)

{% if increment() %}

,

known as (
    select * from {{ source('last_build_of_journeys', 'int_event_days_fingerprinted') }}
)

select
    coalesce(counted.event_date, known.event_date) as event_date,
    coalesce(counted.event_count, 0) as event_count,
    counted.fingerprint
from counted
full outer join known on counted.event_date = known.event_date
where
    counted.event_count is distinct from known.event_count
    or counted.fingerprint is distinct from known.fingerprint

{% else %}

select
    event_date,
    event_count,
    fingerprint
from counted

{% endif %}
