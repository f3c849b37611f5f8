-- Grain: one row per session of a visitor.
-- What was known of account and campaign is forgotten after a pause and kept where a mark cuts.
{{ config(
    materialized='incremental',
    incremental_strategy='replace_changed',
    meta={'replaces': {'key': 'visitor_id', 'changed': 'int_visitors_changed'}},
) }}

with fragments as (
    select * from {{ ref('int_session_fragments_cut') }}
    {{ only_changed('visitor_id', ref('int_visitors_changed')) }}
),

followed as (
    select
        *,
        row_number() over in_time as fragment_number,
        lag(last_event_at) over in_time as previous_at
    from fragments
    window in_time as (
        partition by visitor_id
        order by first_event_at asc, first_event_id asc
    )
),

paused as (
    select
        *,
        {{ is_after_pause('first_event_at', 'previous_at') }} as is_after_pause
    from followed
),

-- Hardly anybody goes on after midnight or after a login: of all others a fragment is a session.
visitors_who_went_on as (
    select visitor_id
    from paused
    where not is_after_pause
    group by visitor_id
),

stretched as (
    select
        paused.*,
        count(case when paused.is_after_pause then 1 end) over (
            partition by paused.visitor_id
            order by paused.fragment_number asc
            rows between unbounded preceding and current row
        ) as stretch_number
    from paused
    inner join visitors_who_went_on on paused.visitor_id = visitors_who_went_on.visitor_id
),

remembered as (
    select
        *{{ known_marks('visitor_id, stretch_number', 'fragment_number') }}
    from stretched
),

numbered as (
    select
        *,
        count(case when is_after_pause or {{ is_cut_by_mark() }} then 1 end) over (
            partition by visitor_id
            order by fragment_number asc
            rows between unbounded preceding and current row
        ) as session_number
    from remembered
),

merged as (
    select
        visitor_id,
        session_number,
        {{ session_columns() }}
    from numbered
    group by visitor_id, session_number
),

named as (
    select
        {{ columns_of_merged() }}
    from merged
    union all
    select
        {{ columns_of_fragment() }}
    from paused
    anti join visitors_who_went_on on paused.visitor_id = visitors_who_went_on.visitor_id
),

hosted as (
    select
        *,
        {{ url_host('referrer') }} as host_before,
        {{ url_host('landing_page_url') }} as own_host
    from named
)

select
    md5(visitor_id || '|' || first_event_id) as session_key,
    visitor_id,
    session_number,
    started_at,
    first_event_id,
    ended_at,
    account_id,
    last_order_id,
    last_carted_at,
    landing_page_url,
    referrer,
    utm_source,
    utm_medium,
    utm_campaign,
    -- tags tell where a visit came from, and one's own pages are no origin
    case
        when coalesce(utm_source, utm_medium, utm_campaign) is not null then null
        when host_before = own_host then null
        else host_before
    end as referrer_host,
    event_count,
    page_view_count,
    search_count,
    product_view_count,
    cart_count,
    checkout_count,
    login_count,
    order_count
from hosted
