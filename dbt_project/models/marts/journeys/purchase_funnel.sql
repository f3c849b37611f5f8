-- Grain: one row per step of the funnel (variable funnel_steps), in order.
-- A step counts for whoever took the step before at the same instant or earlier.
{% set steps = funnel_steps() %}

with customers as (
    select
        source_record_id,
        customer_id
    from {{ ref('int_customer_sources_resolved') }}
),

events as (
    select
        'web:' || anonymous_id as visitor_id,
        'shop:' || account_id as account_record_id,
        event_type,
        occurred_at
    from {{ ref('stg_web__events') }}
    where
        event_type in ({{ steps | join(', ') }})
        and occurred_at < {{ as_of_end() }}
        and coalesce(anonymous_id, account_id) is not null
),

-- the customer where known, otherwise the account, otherwise the visitor
events_of_people as (
    select
        coalesce(
            of_accounts.customer_id,
            events.account_record_id,
            of_visitors.customer_id,
            events.visitor_id
        ) as person_id,
        events.event_type,
        events.occurred_at
    from events
    left join customers as of_accounts
        on events.account_record_id = of_accounts.source_record_id
    left join customers as of_visitors on events.visitor_id = of_visitors.source_record_id
),

{% for step in steps %}
reached_{{ loop.index }} as (
    select
        events_of_people.person_id,
        min(events_of_people.occurred_at) as reached_at
    from events_of_people
    {% if not loop.first %}
    inner join reached_{{ loop.index - 1 }} as step_before
        on
            events_of_people.person_id = step_before.person_id
            and events_of_people.occurred_at >= step_before.reached_at
    {% endif %}
    where events_of_people.event_type = {{ step }}
    group by events_of_people.person_id
),

{% endfor %}
counted as (
    {% for step in steps %}
    select
        {{ loop.index }} as step_number,
        {{ step }} as event_type,
        count(*) as unique_count
    from reached_{{ loop.index }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

compared as (
    select
        *,
        first_value(unique_count) over (order by step_number asc) as first_unique_count,
        lag(unique_count) over (order by step_number asc) as previous_unique_count
    from counted
)

select
    cast(step_number as integer) as step_number,
    event_type,
    unique_count,
    unique_count / nullif(cast(first_unique_count as double), 0) as conversion_ratio,
    unique_count / nullif(cast(previous_unique_count as double), 0) as step_ratio,
    {{ as_of_date() }} as as_of_date
from compared
