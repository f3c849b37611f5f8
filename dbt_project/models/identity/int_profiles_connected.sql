-- Grain: one row per profile with a link, and its component, named by the smallest profile key.
-- In a clique all point to its smallest member, so the recursion only sees what is left after that.
{{ config(
    materialized='incremental',
    incremental_strategy='replace_changed',
    meta={'replaces': {'key': 'profile_key', 'changed': 'int_profiles_touched'}}
) }}
{% set touched = ref('int_profiles_touched') %}

with recursive -- noqa: PRS

links as (
    select
        profile_key,
        other_profile_key
    from {{ ref('int_profiles_linked') }}
    {{ only_changed('profile_key', touched) }}
),

neighbours as (
    select profile_key, other_profile_key as neighbour_key from links
    union all
    select other_profile_key as profile_key, profile_key as neighbour_key from links
),

-- each points to its smallest neighbour or itself: a forest, one or more trees per component
parents as (
    select
        profile_key,
        least(profile_key, min(neighbour_key)) as parent_key
    from neighbours
    group by profile_key
),

grandparents as (
    select
        parents.profile_key,
        upper_parents.parent_key as root_key
    from parents
    inner join parents as upper_parents on parents.parent_key = upper_parents.profile_key
),

-- links between different roots, few, each once in either direction
roots_linked as (
    select distinct
        one.root_key,
        other.root_key as neighbour_key
    from links
    inner join grandparents as one on links.profile_key = one.profile_key
    inner join grandparents as other on links.other_profile_key = other.profile_key
    where one.root_key <> other.root_key
),

root_links as (
    select root_key, neighbour_key from roots_linked
    union
    select neighbour_key as root_key, root_key as neighbour_key from roots_linked
),

-- Each round a root takes the smallest label among its neighbours; USING KEY keeps one row per
-- root, and only roots whose label changed go into the next round.
labels (root_key, label) using key (root_key) as (
    select distinct root_key, root_key as label
    from root_links

    union

    select
        known.root_key,
        min(changed.label) as label
    from labels as changed
    inner join root_links on changed.root_key = root_links.root_key
    inner join recurring.labels as known on root_links.neighbour_key = known.root_key
    where changed.label < known.label
    group by known.root_key
),

labelled as (
    select
        grandparents.profile_key,
        coalesce(labels.label, grandparents.root_key) as label
    from grandparents
    left join labels on grandparents.root_key = labels.root_key
),

names as (
    select
        label,
        min(profile_key) as component_key
    from labelled
    group by label
)

select
    labelled.profile_key,
    names.component_key
from labelled
inner join names on labelled.label = names.label
