-- Grain: one row per customer with a web visitor of their own.
-- A day on two devices is one day; a visitor who never logged in nor ordered is nobody's.
with sources as (
    select
        source_record_id,
        customer_id
    from {{ ref('int_customer_sources_resolved') }}
    where source = 'web'
),

-- most visitors are nobody's: their events go before anything is counted
days as (
    select
        sources.customer_id,
        cast(events.occurred_at as date) as visited_on,
        count(*) as event_count,
        max(events.occurred_at) as last_seen_at
    from {{ ref('stg_web__events') }} as events
    inner join sources on 'web:' || events.anonymous_id = sources.source_record_id
    where {{ is_known('events.occurred_at') }}
    group by
        sources.customer_id,
        cast(events.occurred_at as date)
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
from days
group by customer_id
