-- Grain: one row per visitor with events, now or at the last build, on a day that has changed.
-- Outside an increment nobody is here: all sessions are made anew.
-- depends_on: {{ ref('stg_web__events') }}
-- depends_on: {{ ref('event_kinds') }}
-- depends_on: {{ ref('int_event_days_changed') }}
{% if increment() %}

with events as (
    {{ events_of_visitors() }}
    {{ only_changed(
        'cast(events.occurred_at as date)', ref('int_event_days_changed'), 'event_date', 'and'
    ) }}
),

known as (
    select visitor_id from {{ source('last_build_of_journeys', 'int_session_fragments_cut') }}
    {{ only_changed('event_date', ref('int_event_days_changed')) }}
)

select visitor_id from events
union
select visitor_id from known

{% else %}

select cast(null as varchar) as visitor_id
where false

{% endif %}
