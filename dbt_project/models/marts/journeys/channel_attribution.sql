-- Grain: one row per purchase up to the as-of day and touch that may have led to it.
-- In each model the credits of an order add up to its net amount; without a touch it has all.
-- An increment replaces the credits of the owners of journeys that int_touches_weighed speaks of.
{{ config(
    materialized='incremental',
    incremental_strategy='replace_changed',
    on_schema_change='fail',
    meta={'replaces': {
        'key': journey_owner(),
        'changed': 'int_journeys_changed',
        'changed_key': 'journey_owner',
    }},
) }}

-- depends_on: {{ ref('int_journeys_changed') }}
with touches as (
    select * from {{ ref('int_touches_weighed') }}
)

select
    order_key,
    touchpoint_key,
    customer_id,
    touch_position,
    touch_count,
    is_touch,
    channel,
    campaign,
    touched_at,
    ordered_at,
    {% for model in attribution_models() %}
    cast({{ model.weight }} as double) / cast({{ model.total }} as double)
        as {{ model.name }}_ratio,
    {% endfor %}
    currency_code,
    {% for model in attribution_models() %}
    {{ credited_amount('net_amount', model) }} as {{ model.name }}_amount,
    {% endfor %}
    {% for model in attribution_models() %}
    {{ credited_amount('reporting_net_amount', model) }} as {{ model.name }}_reporting_amount,
    {% endfor %}
    '{{ var("reporting_currency") }}' as reporting_currency_code
from touches
