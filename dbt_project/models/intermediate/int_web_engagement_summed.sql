-- Grain: one row per customer with a web visitor of their own.
-- A day on two devices is one day; a visitor who never logged in nor ordered is nobody's.
with days as (
    select * from {{ ref('int_web_days_counted') }}
),

sources as (
    select
        source_record_id,
        customer_id
    from {{ ref('int_customer_sources_resolved') }}
    where source = 'web'
),

days_of_customers as (
    select
        sources.customer_id,
        days.visited_on,
        sum(days.event_count) as event_count,
        max(days.last_seen_at) as last_seen_at
    from days
    inner join sources on days.source_record_id = sources.source_record_id
    group by
        sources.customer_id,
        days.visited_on
)

select
    customer_id,
    cast(sum(event_count) as bigint) as event_count,
    count(*) as visit_day_count,
    cast(
        coalesce(sum(case when {{ is_recent('visited_on') }} then event_count end), 0) as bigint
    ) as recent_event_count,
    count(*) filter (where {{ is_recent('visited_on') }}) as recent_visit_day_count,
    max(last_seen_at) as last_seen_at
from days_of_customers
group by customer_id
