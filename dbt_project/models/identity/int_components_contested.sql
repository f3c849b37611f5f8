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

firsts as (
    select
        members.component_key,
        min(members.first_name) as first_name,
        min_by(members.formal_names, members.first_name) as formal_names,
        min(members.last_name) as last_name
    from members
    inner join varied on members.component_key = varied.component_key
    where varied.has_names
    group by members.component_key
),

-- spelling errors, initials and nicknames contradict nobody: unlike the first in the alphabet
unlike as (
    select firsts.component_key
    from firsts
    inner join members on firsts.component_key = members.component_key
    where
        firsts.first_name <> members.first_name
        and {{ names_differ('firsts.first_name', 'members.first_name') }}
        and not starts_with(members.first_name, firsts.first_name)
        and not {{ may_be_one_name(
            'firsts.first_name', 'firsts.formal_names',
            'members.first_name', 'members.formal_names'
        ) }}
        or firsts.last_name <> members.last_name
        and {{ names_differ('firsts.last_name', 'members.last_name') }}
        and not contains(members.last_name, firsts.last_name)
        and not contains(firsts.last_name, members.last_name)
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
