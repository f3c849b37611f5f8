-- Grain: one row per session of a visitor on the web site, up to the as-of day.
-- Two accounts on one device are two sessions; nobody is stitched over another one's login.
with sessions as (
    select * from {{ ref('int_sessions_joined') }}
),

recognised as (
    select * from {{ ref('int_visitors_recognised') }}
),

sources as (
    select
        source_record_id,
        customer_id
    from {{ ref('int_customer_sources_resolved') }}
),

channels as (
    select * from {{ ref('int_channels_told') }}
)

select
    sessions.session_key,
    case
        when sessions.visitor_id like 'web:%' then substr(sessions.visitor_id, 5)
    end as anonymous_id,
    sources.customer_id,
    recognised.source_record_id,
    coalesce(recognised.stitched_by, 'none') as stitched_by,
    sessions.session_number,
    sessions.started_at,
    sessions.ended_at,
    {{ seconds_between('sessions.started_at', 'sessions.ended_at') }} as duration_seconds,
    sessions.event_count,
    sessions.page_view_count,
    sessions.search_count,
    sessions.product_view_count,
    sessions.cart_count,
    sessions.checkout_count,
    sessions.order_count,
    sessions.last_carted_at,
    sessions.landing_page_url,
    sessions.referrer,
    sessions.utm_source,
    sessions.utm_medium,
    sessions.utm_campaign,
    case
        when channels.channel is not null then channels.channel
        when coalesce(sessions.utm_source, sessions.utm_medium, sessions.utm_campaign) is not null
            then 'campaign'
        when sessions.referrer_host is not null then 'referral'
        else 'direct'
    end as channel,
    sessions.account_id is not null as is_logged_in,
    sessions.order_count > 0 or sessions.last_order_id is not null as has_order,
    sessions.event_count = 1 as is_bounce
from sessions
left join recognised on sessions.session_key = recognised.session_key
left join sources on recognised.source_record_id = sources.source_record_id
left join channels
    on
        sessions.utm_medium is not distinct from channels.utm_medium
        and sessions.utm_source is not distinct from channels.utm_source
        and sessions.referrer_host is not distinct from channels.referrer_host
