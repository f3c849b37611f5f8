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
),

-- a different birth date or id separates two people when it is as rare among equals as it should be
strong_differences as (
    select
        comparison,
        level
    from {{ ref('match_levels') }}
    where
        log2(m / u) < {{ var('separation_bits') }}
        and (
            (comparison = 'birth_date' and level = 4) or (comparison = 'national_id' and level = 3)
        )
),

weighed as (
    select
        compared.component_key,
        compared.profile_key,
        compared.other_profile_key,
        patterns.cohesion,
        case
            when birth_dates.level is not null then 'the birth dates differ'
            when national_ids.level is not null then 'the national ids differ'
        end as separation
    from compared
    inner join {{ ref('int_patterns_weighed') }} as patterns on compared.pattern = patterns.pattern
    left join strong_differences as birth_dates
        on
            birth_dates.comparison = 'birth_date'
            and birth_dates.level = {{ level_of('birth_date', 'compared.pattern') }}
    left join strong_differences as national_ids
        on
            national_ids.comparison = 'national_id'
            and national_ids.level = {{ level_of('national_id', 'compared.pattern') }}
)

select * from weighed
