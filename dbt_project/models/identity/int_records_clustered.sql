-- Grain: one row per record with its cluster.
-- Records that say too little stay apart, however alike: a bare name is many people, unless it
-- matches another profile.
{{ config(
    materialized='incremental',
    incremental_strategy='replace_changed',
    meta={'replaces': {'key': 'record_key', 'changed': 'int_records_touched'}}
) }}
{% set touched = ref('int_records_touched') %}

with records as (
    select
        record_key,
        profile_key
    from {{ ref('int_records_normalised') }}
    {{ only_changed('record_key', touched) }}
),

doubtful_profiles as (
    select profile_key from {{ ref('int_profiles_formed') }}
    where is_weak or is_bare
),

connected as (
    select * from {{ ref('int_profiles_connected') }}
),

decided as (
    select
        profile_key,
        cluster_key,
        count(*) over (partition by cluster_key) = 1 as is_alone
    from {{ ref('int_merges_decided') }}
    where reason is null
)

select
    records.record_key,
    records.profile_key,
    case
        when
            doubtful_profiles.profile_key is not null
            and (connected.profile_key is null or decided.is_alone)
            then records.record_key
        else coalesce(decided.cluster_key, connected.component_key, records.profile_key)
    end as cluster_key
from records
left join doubtful_profiles on records.profile_key = doubtful_profiles.profile_key
left join connected on records.profile_key = connected.profile_key
left join decided on records.profile_key = decided.profile_key
