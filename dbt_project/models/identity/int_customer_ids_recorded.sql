-- Grain: one row per event of a customer id: created, split_from, merged_into or withdrawn.
-- The history of the last release plus what this build changes; releases are numbered from 1.
{{ config(
    materialized='incremental',
    incremental_strategy='replace_changed',
    meta={'replaces': {'key': 'customer_id', 'changed': 'int_customers_changed'}}
) }}
{% set changed = ref('int_customers_changed') %}

with released as (
    select
        record_key,
        customer_id
    from {{ source('state', 'customer_sources') }}
    {{ only_changed('customer_id', changed) }}
),

history as (
    select * from {{ source('state', 'customer_id_history') }}
    {{ only_changed('customer_id', changed) }}
),

this_release as (
    select coalesce(max(release_number), 0) + 1 as release_number
    from {{ source('state', 'customer_id_history') }}
),

assigned as (
    select * from {{ ref('int_records_assigned') }}
    {{ only_changed('customer_id', changed) }}
),

redirects as (
    select * from {{ ref('int_customer_redirects_resolved') }}
    {{ only_changed('customer_id', changed) }}
),

decided_customers as (
    select distinct assigned.customer_id
    from {{ ref('int_records_normalised') }} as records
    inner join assigned on records.record_key = assigned.record_key
    where records.is_decided
),

released_ids as (
    select distinct customer_id from released
),

new_ids as (
    select
        assigned.customer_id,
        released.customer_id as origin_customer_id,
        count(released.customer_id) as record_count
    from assigned
    anti join released_ids on assigned.customer_id = released_ids.customer_id
    left join released on assigned.record_key = released.record_key
    group by assigned.customer_id, released.customer_id
),

-- the released customer that most of its records come from
origins as (
    select * from new_ids
    qualify row_number() over (
        partition by customer_id
        order by record_count desc, origin_customer_id asc nulls last
    ) = 1
),

retired_ids as (
    select
        redirects.customer_id,
        redirects.current_customer_id
    from redirects
    semi join released_ids on redirects.customer_id = released_ids.customer_id
),

events as (
    select
        customer_id,
        case when origin_customer_id is null then 'created' else 'split_from' end as event,
        origin_customer_id as other_customer_id,
        case
            when origin_customer_id is null then 'new records' else 'the records no longer match'
        end as evidence
    from origins

    union all

    select
        customer_id,
        case when current_customer_id is null then 'withdrawn' else 'merged_into' end as event,
        current_customer_id as other_customer_id,
        case
            when current_customer_id is null then 'all records are gone' else 'the records match'
        end as evidence
    from retired_ids
)

select * from history

union all

select
    events.customer_id,
    events.event,
    events.other_customer_id,
    this_release.release_number,
    {{ as_of_date() }} as occurred_on,
    case
        when
            events.event in ('split_from', 'merged_into')
            and (
                events.customer_id in (select customer_id from decided_customers)
                or events.other_customer_id in (select customer_id from decided_customers)
            )
            then 'a steward decided'
        else events.evidence
    end as reason
from events
cross join this_release
