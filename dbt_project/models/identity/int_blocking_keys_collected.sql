-- Grain: one row per profile and blocking key that it has a value for.
-- Weak profiles have none: nothing they could be paired with would ever match.
{{ config(
    materialized='incremental',
    incremental_strategy='replace_changed',
    meta={'replaces': {'key': 'profile_key', 'changed': 'int_profiles_changed'}}
) }}
{% set changed = ref('int_profiles_changed') %}
-- depends_on: {{ ref('int_blocking_keys_retired') }}

with strong_profiles as (
    select * from {{ ref('int_profiles_formed') }}
    where not is_weak {{ only_changed('profile_key', changed, conjunction='and') }}
)

{{ blocking_keys_of(
    'strong_profiles', '(select any_value(profile_count) from ' ~ ref('int_priors_scaled') ~ ')'
) }}
