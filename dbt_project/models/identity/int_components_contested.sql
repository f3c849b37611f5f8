-- Grain: one row per profile of a component that may hold two people.
-- Most components are customers as they are: each two of their profiles match without a doubt.
{% set touched = ref('int_profiles_touched') %}

with connected as (
    select * from {{ ref('int_profiles_connected') }}
    {{ only_changed('profile_key', touched) }}
),

links as (
    select
        profile_key,
        is_doubtful
    from {{ ref('int_profiles_linked') }}
    {{ only_changed('profile_key', touched) }}
),

sizes as (
    select
        component_key,
        count(*) as size
    from connected
    group by component_key
),

link_counts as (
    select
        connected.component_key,
        count(*) as link_count,
        bool_or(links.is_doubtful) as is_doubtful
    from links
    inner join connected on links.profile_key = connected.profile_key
    group by connected.component_key
),

-- two profiles in it that do not match, or that do though something speaks against it
doubtful as (
    select
        sizes.component_key,
        sizes.size > {{ var('component_cap') }} as is_large
    from sizes
    inner join link_counts on sizes.component_key = link_counts.component_key
    where
        link_counts.is_doubtful
        or link_counts.link_count < sizes.size * (sizes.size - 1) / 2
),

members as (
    select
        doubtful.component_key,
        doubtful.is_large,
        profiles.first_name,
        profiles.formal_names,
        profiles.last_name,
        profiles.birth_date,
        profiles.national_id
    from doubtful
    inner join connected on doubtful.component_key = connected.component_key
    inner join {{ ref('int_profiles_formed') }} as profiles
        on connected.profile_key = profiles.profile_key
),

-- most of them agree in all of these
varied as (
    select
        component_key,
        bool_or(is_large) as is_large,
        min(birth_date) <> max(birth_date) or min(national_id) <> max(national_id) as is_divided,
        min(first_name) <> max(first_name) or min(last_name) <> max(last_name) as has_names
    from members
    group by component_key
    having bool_or(is_large) or is_divided or has_names
),

names as (
    select distinct
        members.component_key,
        members.first_name,
        members.formal_names,
        members.last_name
    from members
    inner join varied on members.component_key = varied.component_key
    -- those that are large or divided are looked into anyway
    where varied.has_names and not varied.is_large and not coalesce(varied.is_divided, false)
),

-- spelling errors, initials and nicknames contradict nobody; but an initial fits two who are unlike
unlike as (
    select distinct one.component_key
    from names as one
    inner join names as other on one.component_key = other.component_key
    where
        one.first_name < other.first_name
        and {{ names_differ('one.first_name', 'other.first_name') }}
        and not starts_with(other.first_name, one.first_name)
        and not {{ may_be_one_name(
            'one.first_name', 'one.formal_names', 'other.first_name', 'other.formal_names'
        ) }}
        or one.last_name < other.last_name
        and {{ names_differ('one.last_name', 'other.last_name') }}
        and not contains(one.last_name, other.last_name)
        and not contains(other.last_name, one.last_name)
),

one_per_person as (
    select
        source,
        record_type
    from {{ ref('one_per_person') }}
),

records as (
    select
        records.profile_key,
        records.source,
        records.record_type
    from {{ ref('int_records_normalised') }} as records
    inner join one_per_person
        on
            records.source = one_per_person.source
            and records.record_type = one_per_person.record_type
),

contested as (
    select
        component_key,
        is_large as is_certain
    from varied
    where is_large or is_divided or component_key in (select component_key from unlike)

    union all

    select
        connected.component_key,
        true as is_certain
    from {{ ref('int_decisions_applied') }} as decisions
    inner join connected on decisions.profile_key = connected.profile_key
    where decisions.verdict = 'not_same'

    union all

    -- two accounts where the source vouches that a person has one
    select
        connected.component_key,
        true as is_certain
    from records
    inner join connected on records.profile_key = connected.profile_key
    group by connected.component_key, records.source, records.record_type
    having count(*) > 1
),

components as (
    select
        component_key,
        bool_or(is_certain) as is_certain
    from contested
    group by component_key
)

select
    connected.component_key,
    connected.profile_key,
    components.is_certain,
    profiles.is_bare,
    {{ var('component_cap') }} as component_cap
from connected
inner join components on connected.component_key = components.component_key
inner join {{ ref('int_profiles_formed') }} as profiles
    on connected.profile_key = profiles.profile_key
