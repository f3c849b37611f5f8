-- Grain: one row per web visitor and day (UTC) with an event by the as-of day.
-- Made of all events once, so that what is told of customers joins days instead of events.
select
    'web:' || anonymous_id as source_record_id,
    cast(occurred_at as date) as visited_on,
    count(*) as event_count,
    max(occurred_at) as last_seen_at
from {{ ref('stg_web__events') }}
where anonymous_id is not null and {{ is_known('occurred_at') }}
group by
    anonymous_id,
    cast(occurred_at as date)
