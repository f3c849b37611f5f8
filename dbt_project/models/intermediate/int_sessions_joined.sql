-- Grain: one row per session of a visitor.
-- What was known of account and campaign is forgotten after a pause and kept where a mark cuts.
{% set marks = session_marks() %}

with fragments as (
    select * from {{ ref('int_session_fragments_cut') }}
),

followed as (
    select
        *,
        lag(last_event_at) over (
            partition by visitor_id
            order by first_event_at asc, first_event_id asc
        ) as previous_at
    from fragments
),

paused as (
    select
        *,
        {{ is_after_pause('first_event_at', 'previous_at') }} as is_after_pause
        {%- if marks %},
        count(case when {{ is_after_pause('first_event_at', 'previous_at') }} then 1 end) over (
            partition by visitor_id
            order by first_event_at asc, first_event_id asc
            rows between unbounded preceding and current row
        ) as stretch_number
        {%- endif %}
    from followed
),

remembered as (
    select
        *
        {%- for mark in marks %},
        last_value({{ mark.value }} ignore nulls) over before_it as known_{{ mark.name }}
        {%- endfor %}
    from paused
    {%- if marks %}
    window before_it as (
        partition by visitor_id, stretch_number
        order by first_event_at asc, first_event_id asc
        rows between unbounded preceding and 1 preceding
    )
    {%- endif %}
),

numbered as (
    select
        *,
        count(
            case
                when is_after_pause then 1
                {%- for mark in marks %}
                when
                    {{ mark.value }} is not null
                    and {{ mark.value }} is distinct from known_{{ mark.name }}
                    {%- if not mark.after_none %}
                    and known_{{ mark.name }} is not null
                    {%- endif %}
                    then 1
                {%- endfor %}
            end
        ) over (
            partition by visitor_id
            order by first_event_at asc, first_event_id asc
            rows between unbounded preceding and current row
        ) as session_number
    from remembered
),

sessions as (
    select
        visitor_id,
        session_number,
        {{ session_columns() }}
    from numbered
    group by visitor_id, session_number
)

select
    md5(visitor_id || '|' || first_fragment.event_id) as session_key,
    visitor_id,
    session_number,
    started_at,
    first_fragment.event_id as first_event_id,
    ended_at,
    account_id,
    last_order_id,
    last_carted_at,
    first_fragment.landing_page_url as landing_page_url,
    first_fragment.referrer as referrer,
    first_campaign.source as utm_source,
    first_campaign.medium as utm_medium,
    first_campaign.name as utm_campaign,
    -- tags tell where a visit came from, and one's own pages are no origin
    case
        when
            first_campaign is null
            and {{ url_host('first_fragment.referrer') }}
            is distinct from {{ url_host('first_fragment.landing_page_url') }}
            then {{ url_host('first_fragment.referrer') }}
    end as referrer_host,
    event_count,
    page_view_count,
    search_count,
    product_view_count,
    cart_count,
    checkout_count,
    login_count,
    order_count
from sessions
