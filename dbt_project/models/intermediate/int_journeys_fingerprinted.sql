-- Grain: one row per owner of journeys, as this build has seen it.
-- What the next increment compares touches, carts and purchases with.
{{ config(
    materialized='incremental',
    incremental_strategy='replace_changed',
    meta={'replaces': {'key': 'journey_owner', 'changed': 'int_journeys_changed'}},
) }}

select
    journey_owner,
    fact_count,
    fingerprint,
    is_awake,
    is_cart_abandoned
from {{ ref('int_journeys_changed') }}
where fact_count > 0
