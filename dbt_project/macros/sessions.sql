{#- The longest pause within a session, as an interval; a longer one ends it. -#}
{% macro session_gap() -%}
    {%- set minutes = var('session_gap_minutes') -%}
    {%- if minutes is not number or minutes <= 0 -%}
        {{ exceptions.raise_compiler_error(
            "session_gap_minutes is " ~ minutes ~ "; say a number of minutes above 0."
        ) }}
    {%- endif -%}
    interval '{{ (minutes * 60) | round | int }} seconds'
{%- endmacro %}

{#- The calendar day of a UTC timestamp where sessions are cut at midnight. -#}
{% macro session_day(column) -%}
    {%- if var('session_time_zone') == 'UTC' -%}
    cast({{ column }} as date)
    {%- else -%}
    cast(
        timezone('{{ var("session_time_zone") | replace("'", "''") }}', timezone('UTC', {{ column }}))
        as date
    )
    {%- endif -%}
{%- endmacro %}

{#- Whether activity at `this` no longer belongs with activity at `previous` of the same visitor:
    a pause strictly above the gap, or another day. -#}
{% macro is_after_pause(this, previous) -%}
    (
        {{ previous }} is null
        or {{ this }} > {{ previous }} + {{ session_gap() }}
        {%- if var('session_cut_at_midnight') %}
        or {{ session_day(this) }} <> {{ session_day(previous) }}
        {%- endif %}
    )
{%- endmacro %}

{#- What starts another session although nobody paused: name, the value to look at, whether a first
    value after none is a start too. Somebody who logs in later was there before; a visit that a
    campaign brought is a visit of its own. -#}
{% macro session_marks() -%}
    {%- set marks = [] -%}
    {%- if var('session_cut_at_account') -%}
        {%- do marks.append({'name': 'account', 'value': 'account_id', 'after_none': false}) -%}
    {%- endif -%}
    {%- if var('session_cut_at_campaign') -%}
        {%- do marks.append(
            {'name': 'campaign', 'value': campaign_of_event(), 'after_none': true}
        ) -%}
    {%- endif -%}
    {{ return(marks) }}
{%- endmacro %}

{#- The three tags as one text; null without any. -#}
{% macro campaign_of_event() -%}
    {{ return(
        "case when coalesce(utm_source, utm_medium, utm_campaign) is not null then "
        "coalesce(utm_source, '') || chr(31) || coalesce(utm_medium, '') || chr(31) "
        "|| coalesce(utm_campaign, '') end"
    ) }}
{%- endmacro %}

{#- The events that can be part of a session, with what sessions are made of. A visitor without
    anonymous id is the account. -#}
{% macro events_of_visitors() -%}
    select
        events.event_id,
        coalesce('web:' || events.anonymous_id, 'shop:' || events.account_id) as visitor_id,
        events.account_id,
        kinds.kind,
        events.page_url,
        events.referrer,
        events.utm_source,
        events.utm_medium,
        events.utm_campaign,
        events.order_id,
        events.occurred_at,
        cast(events.occurred_at as date) as event_date
    from {{ ref('stg_web__events') }} as events
    left join {{ ref('event_kinds') }} as kinds on events.event_type = kinds.event_type
    where
        events.occurred_at < {{ as_of_end() }}
        and coalesce(events.anonymous_id, events.account_id) is not null
{%- endmacro %}

{#- The value of the earliest and the latest row of a group that has one; of two at one instant the
    smaller id is the earlier. -#}
{% macro earliest(value, at, id) -%}
    arg_min({{ value }}, {'at': {{ at }}, 'id': {{ id }}}) filter (where {{ value }} is not null)
{%- endmacro %}

{% macro latest(value, at, id) -%}
    arg_max({{ value }}, {'at': {{ at }}, 'id': {{ id }}}) filter (where {{ value }} is not null)
{%- endmacro %}

{#- One value of several that were taken from one row together. -#}
{% macro field(taken, name) -%}
    struct_extract({{ taken }}, '{{ name }}')
{%- endmacro %}

{#- The utm tags of the first row with any, taken together. -#}
{% macro earliest_campaign(at, id) -%}
    arg_min(
        {'source': utm_source, 'medium': utm_medium, 'name': utm_campaign},
        {'at': {{ at }}, 'id': {{ id }}}
    ) filter (where coalesce(utm_source, utm_medium, utm_campaign) is not null)
{%- endmacro %}

{#- What is known of a group of events; all of it can be merged. What must come from the first event
    itself, null or not, is taken from it together. -#}
{% macro fragment_columns() -%}
    min(occurred_at) as first_event_at,
    max(occurred_at) as last_event_at,
    arg_min(
        {'event_id': event_id, 'page_url': page_url, 'referrer': referrer
         {%- for mark in session_marks() %}, '{{ mark.name }}': {{ mark.value }}{% endfor -%}},
        {'at': occurred_at, 'id': event_id}
    ) as first_event,
    {{ earliest_campaign('occurred_at', 'event_id') }} as first_campaign,
    {%- for mark in session_marks() %}
    min({{ mark.value }}) as lowest_{{ mark.name }},
    max({{ mark.value }}) as highest_{{ mark.name }},
    {%- endfor %}
    {{ latest('account_id', 'occurred_at', 'event_id') }} as account_id,
    {{ latest('order_id', 'occurred_at', 'event_id') }} as last_order_id,
    max(case when kind = 'cart' then occurred_at end) as last_carted_at,
    count(*) as event_count,
    count(*) filter (where kind = 'page') as page_view_count,
    count(*) filter (where kind = 'search') as search_count,
    count(*) filter (where kind = 'product') as product_view_count,
    count(*) filter (where kind = 'cart') as cart_count,
    count(*) filter (where kind = 'checkout') as checkout_count,
    count(*) filter (where kind = 'login') as login_count,
    count(*) filter (where kind = 'order') as order_count
{%- endmacro %}

{#- Whether a visitor's day needs no cutting: it is not longer than one pause may be, and what could
    start another session is there from the first event on and stays, or never comes. -#}
{% macro is_one_fragment() -%}
    (
        not {{ is_after_pause('last_event_at', 'first_event_at') }}
        {%- for mark in session_marks() %}
        and (
            lowest_{{ mark.name }} is null
            or (
                lowest_{{ mark.name }} = highest_{{ mark.name }}
                and {{ field('first_event', mark.name) }} is not null
            )
        )
        {%- endfor %}
    )
{%- endmacro %}

{#- What was known of each mark before a row, since the last pause: columns known_<mark>. -#}
{% macro known_marks(partition, order) -%}
    {%- for mark in session_marks() -%},
        last_value({{ mark.value }} ignore nulls) over (
            partition by {{ partition }}
            order by {{ order }}
            rows between unbounded preceding and 1 preceding
        ) as known_{{ mark.name }}
    {%- endfor -%}
{%- endmacro %}

{#- Whether a row has another value of a mark than was known, or one where none was known. -#}
{% macro is_marked_anew() -%}
    (
        false
        {%- for mark in session_marks() %}
        or ({{ mark.value }} is not null and {{ mark.value }} is distinct from known_{{ mark.name }})
        {%- endfor %}
    )
{%- endmacro %}

{#- Whether a mark starts another session: as above, but a first value only where that counts. -#}
{% macro is_cut_by_mark() -%}
    (
        false
        {%- for mark in session_marks() %}
        or (
            {{ mark.value }} is not null
            and {{ mark.value }} is distinct from known_{{ mark.name }}
            {%- if not mark.after_none %}
            and known_{{ mark.name }} is not null
            {%- endif %}
        )
        {%- endfor %}
    )
{%- endmacro %}

{#- The counts of fragments and sessions. -#}
{% macro counted_columns() -%}
    {{ return([
        'event_count', 'page_view_count', 'search_count', 'product_view_count', 'cart_count',
        'checkout_count', 'login_count', 'order_count',
    ]) }}
{%- endmacro %}

{#- The columns of a session from its merged fragments, and from the one fragment that it is. -#}
{% macro columns_of_merged() -%}
    visitor_id,
    session_number,
    started_at,
    ended_at,
    {{ field('first_fragment', 'event_id') }} as first_event_id,
    {{ field('first_fragment', 'landing_page_url') }} as landing_page_url,
    {{ field('first_fragment', 'referrer') }} as referrer,
    {{ field('first_campaign', 'source') }} as utm_source,
    {{ field('first_campaign', 'medium') }} as utm_medium,
    {{ field('first_campaign', 'name') }} as utm_campaign,
    account_id,
    last_order_id,
    last_carted_at,
    {{ counted_columns() | join(', ') }}
{%- endmacro %}

{% macro columns_of_fragment() -%}
    visitor_id,
    fragment_number as session_number,
    first_event_at as started_at,
    last_event_at as ended_at,
    first_event_id,
    landing_page_url,
    referrer,
    utm_source,
    utm_medium,
    utm_campaign,
    account_id,
    last_order_id,
    last_carted_at,
    {{ counted_columns() | join(', ') }}
{%- endmacro %}

{#- Fragments of one session merged. -#}
{% macro session_columns() -%}
    {%- set at, id = 'first_event_at', 'first_event_id' -%}
    min(first_event_at) as started_at,
    max(last_event_at) as ended_at,
    arg_min(
        {'event_id': first_event_id, 'landing_page_url': landing_page_url, 'referrer': referrer},
        {'at': first_event_at, 'id': first_event_id}
    ) as first_fragment,
    {{ earliest_campaign(at, id) }} as first_campaign,
    {{ latest('account_id', at, id) }} as account_id,
    {{ latest('last_order_id', at, id) }} as last_order_id,
    max(last_carted_at) as last_carted_at,
    {%- for counted in counted_columns() %}
    cast(sum({{ counted }}) as bigint) as {{ counted }}{{ ',' if not loop.last }}
    {%- endfor %}
{%- endmacro %}
