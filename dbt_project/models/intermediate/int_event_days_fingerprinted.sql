-- Grain: one row per UTC day with web events, as this build has seen it.
-- What the next increment compares the events with.
{{ config(
    materialized='incremental',
    incremental_strategy='replace_changed',
    meta={'replaces': {'key': 'event_date', 'changed': 'int_event_days_changed'}},
) }}

select
    event_date,
    event_count,
    fingerprint
from {{ ref('int_event_days_changed') }}
where event_count > 0
