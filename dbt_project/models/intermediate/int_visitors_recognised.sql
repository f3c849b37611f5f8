-- Grain: one row per session of a visitor who logged in or ordered at some time.
-- A login speaks for its session and later ones, the first one also for sessions shortly before.
with sessions as (
    select
        session_key,
        visitor_id,
        started_at,
        first_event_id,
        account_id,
        last_order_id
    from {{ ref('int_sessions_joined') }}
),

orders as (
    select
        order_id,
        source_record_id
    from {{ ref('stg_shop__orders') }}
),

shown as (
    select
        sessions.*,
        case
            when sessions.account_id is not null then 'shop:' || sessions.account_id
            else orders.source_record_id
        end as shown_record_id
    from sessions
    left join orders on sessions.last_order_id = orders.order_id
),

first_shown as (
    select
        visitor_id,
        min(started_at) as first_shown_at,
        {{ earliest('shown_record_id', 'started_at', 'first_event_id') }} as first_record_id
    from shown
    where shown_record_id is not null
    group by visitor_id
),

carried as (
    select
        shown.*,
        first_shown.first_shown_at,
        first_shown.first_record_id,
        last_value(shown.shown_record_id ignore nulls) over (
            partition by shown.visitor_id
            order by shown.started_at asc, shown.first_event_id asc
            rows between unbounded preceding and 1 preceding
        ) as earlier_record_id
    from shown
    inner join first_shown on shown.visitor_id = first_shown.visitor_id
),

dated as (
    select
        *,
        {{ var('stitch_backwards_days') }} > 0
        and started_at >= first_shown_at - {{ interval_of('stitch_backwards_days', 'days') }}
            as is_shortly_before
    from carried
)

select
    session_key,
    case
        when shown_record_id is not null then shown_record_id
        when earlier_record_id is not null then earlier_record_id
        when is_shortly_before then first_record_id
    end as source_record_id,
    case
        when account_id is not null then 'login'
        when shown_record_id is not null then 'order'
        when earlier_record_id is not null then 'later_session'
        when is_shortly_before then 'backwards'
        else 'none'
    end as stitched_by
from dated
