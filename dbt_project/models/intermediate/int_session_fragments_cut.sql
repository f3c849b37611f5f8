-- Grain: one row per visitor, UTC day and stretch of activity that is part of one session.
-- A stretch never spans two UTC days, so that days can be replaced; int_sessions_joined joins them.
{{ config(
    materialized='incremental',
    incremental_strategy='replace_changed',
    meta={'replaces': {'key': 'event_date', 'changed': 'int_event_days_changed'}},
) }}

-- depends_on: {{ ref('int_visitors_changed') }}: it reads the fragments that are replaced here
with events as (
    {{ events_of_visitors() }}
    {{ only_changed(
        'cast(events.occurred_at as date)', ref('int_event_days_changed'), 'event_date', 'and'
    ) }}
),

days as (
    select
        visitor_id,
        event_date,
        {{ fragment_columns() }}
    from events
    group by visitor_id, event_date
),

-- Nearly every visitor's day is one stretch and needs no window over its events.
busy_days as (
    select
        visitor_id,
        event_date
    from days
    where not {{ is_one_fragment() }}
),

events_of_busy_days as (
    select events.*
    from events
    inner join busy_days
        on events.visitor_id = busy_days.visitor_id and events.event_date = busy_days.event_date
),

followed as (
    select
        *,
        lag(occurred_at) over (
            partition by visitor_id, event_date
            order by occurred_at asc, event_id asc
        ) as previous_at
    from events_of_busy_days
),

paused as (
    select
        *,
        count(case when {{ is_after_pause('occurred_at', 'previous_at') }} then 1 end) over (
            partition by visitor_id, event_date
            order by occurred_at asc, event_id asc
            rows between unbounded preceding and current row
        ) as stretch_number
    from followed
),

remembered as (
    select
        *{{ known_marks('visitor_id, event_date, stretch_number', 'occurred_at, event_id') }}
    from paused
),

marked as (
    select
        *,
        count(case when {{ is_marked_anew() }} then 1 end) over (
            partition by visitor_id, event_date
            order by occurred_at asc, event_id asc
            rows between unbounded preceding and current row
        ) as mark_number
    from remembered
),

stretches as (
    select
        visitor_id,
        event_date,
        {{ fragment_columns() }}
    from marked
    group by visitor_id, event_date, stretch_number, mark_number
),

fragments as (
    select * from days
    where {{ is_one_fragment() }}
    union all
    select * from stretches
)

select
    visitor_id,
    event_date,
    first_event_at,
    {{ field('first_event', 'event_id') }} as first_event_id,
    last_event_at,
    account_id,
    {{ field('first_event', 'page_url') }} as landing_page_url,
    {{ field('first_event', 'referrer') }} as referrer,
    {{ field('first_campaign', 'source') }} as utm_source,
    {{ field('first_campaign', 'medium') }} as utm_medium,
    {{ field('first_campaign', 'name') }} as utm_campaign,
    last_order_id,
    last_carted_at,
    event_count,
    page_view_count,
    search_count,
    product_view_count,
    cart_count,
    checkout_count,
    login_count,
    order_count
from fragments
