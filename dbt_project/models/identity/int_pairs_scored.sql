-- Grain: one row per pair of profiles that match or could: at or above the review threshold.
-- The pattern says how they agree, the weight what that is worth; `keys` which keys found the pair.
{{ config(
    materialized='incremental',
    incremental_strategy='replace_changed',
    meta={'replaces': {
        'key': ['profile_key', 'other_profile_key'],
        'changed': 'int_profiles_rescored', 'changed_key': 'profile_key',
    }}
) }}
{% set rescored = ref('int_profiles_rescored') %}

with keys as (
    select * from {{ ref('int_blocking_keys_collected') }}
    {% if increment() %}
    where block in (
        select block from {{ ref('int_blocking_keys_collected') }}
        where profile_key in (select profile_key from {{ rescored }})
    )
    {% endif %}
),

blocks as (
    {{ blocks_compared('keys') }}
),

keys_compared as (
    select
        keys.profile_key,
        keys.key_number,
        keys.block,
        blocks.size
    from keys
    inner join blocks on keys.block = blocks.block
),

pairs as (
    {{ candidate_pairs_of('keys_compared') }}
),

pairs_wanted as (
    select * from pairs
    {% if increment() %}
    where
        profile_key in (select profile_key from {{ rescored }})
        or other_profile_key in (select profile_key from {{ rescored }})
    {% endif %}
),

profiles as (
    select * from {{ ref('int_profiles_formed') }}
    {% if increment() %}
    -- or DuckDB, which cannot know how few pairs there will be, hashes all profiles twice
    where profile_key in (
        select profile_key from pairs_wanted
        union
        select other_profile_key from pairs_wanted
    )
    {% endif %}
),

compared as (
    select
        pairs_wanted.profile_key,
        pairs_wanted.other_profile_key,
        pairs_wanted.keys,
        pairs_wanted.namesakes,
        {{ pattern('one', 'other') }} as pattern,
        {{ rarity_of_pair('one', 'other') }}
    from pairs_wanted
    inner join profiles as one on pairs_wanted.profile_key = one.profile_key
    inner join profiles as other on pairs_wanted.other_profile_key = other.profile_key
),

weighed as (
    select
        compared.profile_key,
        compared.other_profile_key,
        compared.keys,
        compared.namesakes,
        compared.pattern,
        cast({{ pair_weight('patterns', 'compared', 'compared.namesakes') }} as float) as weight,
        patterns.cohesion < 0 or patterns.separation is not null as is_doubtful
    from compared
    inner join {{ ref('int_patterns_weighed') }} as patterns on compared.pattern = patterns.pattern
)

select * from weighed
where weight >= {{ weight_of('review_probability') }}
