-- Grain: one row per pair of profiles in a contested component that is small enough to compare all.
-- Cohesion is evidence for one person given one household: negative when the pair contradicts.
with members as (
    select * from {{ ref('int_components_contested') }}
),

sizes as (
    select component_key
    from members
    group by component_key
    having count(*) <= {{ var('component_cap') }}
),

pairs as (
    select
        one.component_key,
        one.profile_key,
        other.profile_key as other_profile_key
    from members as one
    semi join sizes on one.component_key = sizes.component_key
    inner join members as other
        on
            one.component_key = other.component_key
            and one.profile_key < other.profile_key
),

profiles as (
    select * from {{ ref('int_profiles_formed') }}
    where profile_key in (select profile_key from members)
),

compared as (
    select
        pairs.component_key,
        pairs.profile_key,
        pairs.other_profile_key,
        {{ pattern('one', 'other') }} as pattern
    from pairs
    inner join profiles as one on pairs.profile_key = one.profile_key
    inner join profiles as other on pairs.other_profile_key = other.profile_key
)

select
    compared.component_key,
    compared.profile_key,
    compared.other_profile_key,
    patterns.cohesion,
    patterns.separation
from compared
inner join {{ ref('int_patterns_weighed') }} as patterns on compared.pattern = patterns.pattern
