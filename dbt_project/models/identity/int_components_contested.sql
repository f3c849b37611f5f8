-- Grain: one row per profile of a component that may hold two people.
-- Most components are alike in name and birth date and are customers as they are; these may not be.
{% set touched = ref('int_profiles_touched') %}

with connected as (
    select * from {{ ref('int_profiles_connected') }}
    {{ only_changed('profile_key', touched) }}
),

profiles as (
    select * from {{ ref('int_profiles_formed') }}
    {{ only_changed('profile_key', touched) }}
),

records as (
    select
        profile_key,
        source,
        record_type
    from {{ ref('int_records_normalised') }}
    {{ only_changed('profile_key', touched) }}
),

members as (
    select
        connected.component_key,
        profiles.profile_key,
        profiles.first_name,
        profiles.formal_names,
        profiles.last_name,
        profiles.birth_date,
        profiles.national_id
    from connected
    inner join profiles on connected.profile_key = profiles.profile_key
),

-- numbers first: most components agree in all of these
varied as (
    select
        component_key,
        count(*) > {{ var('component_cap') }} as is_large,
        min(birth_date) <> max(birth_date)
        or min(hash(national_id)) filter (national_id is not null)
        <> max(hash(national_id)) filter (national_id is not null) as is_divided,
        min(hash(first_name)) filter (first_name is not null)
        <> max(hash(first_name)) filter (first_name is not null)
        or min(hash(last_name)) filter (last_name is not null)
        <> max(hash(last_name)) filter (last_name is not null) as has_names
    from members
    group by component_key
    having is_large or is_divided or has_names
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

disagreeing as (
    select
        component_key,
        is_large
    from varied
    where is_large or is_divided or component_key in (select component_key from unlike)
),

decided as (
    select connected.component_key
    from {{ ref('int_decisions_applied') }} as decisions
    inner join connected on decisions.profile_key = connected.profile_key
    where decisions.verdict = 'not_same'
),

one_per_person as (
    select
        source,
        record_type
    from {{ ref('one_per_person') }}
),

-- two accounts where the source vouches that a person has one
doubled as (
    select members.component_key
    from members
    inner join records on members.profile_key = records.profile_key
    inner join one_per_person
        on
            records.source = one_per_person.source
            and records.record_type = one_per_person.record_type
    group by members.component_key, records.source, records.record_type
    having count(*) > 1
),

contested as (
    select
        component_key,
        bool_or(is_certain) as is_certain
    from (
        select
            component_key,
            is_large as is_certain
        from disagreeing
        union all
        select
            component_key,
            true as is_certain
        from decided
        union all
        select
            component_key,
            true as is_certain
        from doubled
    ) as doubts
    group by component_key
)

select
    members.component_key,
    members.profile_key,
    contested.is_certain,
    {{ var('component_cap') }} as component_cap
from members
inner join contested on members.component_key = contested.component_key
