-- Grain: one row per customer, field group and span of days in which one value was believed.
-- Days are as-of days of releases: of several releases of one day the last one counts.
with remembered as (
    select * from {{ source('released', 'customer_history') }}
),

-- a run of an earlier day than the last one adds to that day: what is remembered stays in order
today as (
    select greatest({{ as_of_date() }}, max(known_from), max(known_until)) as known_on
    from remembered
),

-- what was said before today, as if this day had seen no release yet
before_today as (
    select
        remembered.customer_id,
        remembered.field_group,
        remembered.value,
        remembered.source_record_id,
        remembered.known_from,
        remembered.known_until < today.known_on as has_ended,
        remembered.known_until,
        remembered.ended_because
    from remembered
    cross join today
    where remembered.known_from < today.known_on
),

believed as (
    select
        customer_id,
        field_group,
        value,
        source_record_id
    from {{ ref('int_golden_values_ranked') }}
    where rank = 1 and field_group <> 'national_id'
),

redirects as (
    select
        customer_id,
        current_customer_id
    from {{ ref('customer_redirects') }}
),

still_known as (
    select * from before_today
    where has_ended is not true
),

compared as (
    select
        coalesce(known.customer_id, believed.customer_id) as customer_id,
        coalesce(known.field_group, believed.field_group) as field_group,
        coalesce(known.value, believed.value) as value,
        coalesce(known.source_record_id, believed.source_record_id) as source_record_id,
        coalesce(known.known_from, today.known_on) as known_from,
        case when believed.customer_id is null then today.known_on end as known_until
    from still_known as known
    full join believed
        on
            known.customer_id = believed.customer_id
            and known.field_group = believed.field_group
            and known.value = believed.value
    cross join today
),

ending as (
    select * from compared
    where known_until is not null
),

ended_today as (
    select
        ending.*,
        case
            when redirects.current_customer_id is not null then 'merged'
            when redirects.customer_id is not null then 'withdrawn'
            when believed.customer_id is not null then 'changed'
            else 'no_longer_known'
        end as ended_because
    from ending
    left join redirects on ending.customer_id = redirects.customer_id
    left join believed
        on
            ending.customer_id = believed.customer_id
            and ending.field_group = believed.field_group
),

spans as (
    select
        *,
        cast(null as varchar) as ended_because
    from compared
    where known_until is null

    union all

    select * from ended_today

    union all

    select
        customer_id,
        field_group,
        value,
        source_record_id,
        known_from,
        known_until,
        ended_because
    from before_today
    where has_ended
)

select
    spans.customer_id,
    -- an id in use is in no redirect
    case
        when redirects.customer_id is null then spans.customer_id
        else redirects.current_customer_id
    end as current_customer_id,
    spans.field_group,
    spans.value,
    spans.source_record_id,
    spans.known_from,
    spans.known_until,
    spans.ended_because
from spans
left join redirects on spans.customer_id = redirects.customer_id
