-- Grain: one row per link between two profiles: a match above the threshold or a steward's "same".
-- A steward's word outweighs any evidence, so it comes first when merges are decided.
{{ config(materialized='view') }}

with matches as (
    select
        profile_key,
        other_profile_key,
        weight,
        is_doubtful,
        false as is_decided
    from {{ ref('int_pairs_scored') }}
    where weight >= {{ weight_of('match_probability') }}
),

decided as (
    select
        profile_key,
        other_profile_key,
        cast(null as float) as weight,
        true as is_doubtful,
        true as is_decided
    from {{ ref('int_decisions_applied') }}
    where verdict = 'same'
)

select matches.*
from matches
anti join decided
    on
        matches.profile_key = decided.profile_key
        and matches.other_profile_key = decided.other_profile_key
union all
select * from decided
