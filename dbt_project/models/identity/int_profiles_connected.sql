-- Grain: one row per profile with a link, and its component, named by the smallest profile key.
-- In a clique all point to its smallest member, so the recursion only sees what is left after that.
{{ config(
    materialized='incremental',
    incremental_strategy='replace_changed',
    meta={'replaces': {'key': 'profile_key', 'changed': 'int_profiles_touched'}}
) }}
{% set touched = ref('int_profiles_touched') %}

with recursive -- noqa: PRS

-- the smaller profile key first
links as (
    select
        profile_key,
        other_profile_key
    from {{ ref('int_profiles_linked') }}
    {{ only_changed('profile_key', touched) }}
),

-- each points to its smallest neighbour, if that is smaller: a forest, its roots left out
parents as (
    select
        other_profile_key as profile_key,
        min(profile_key) as parent_key
    from links
    group by other_profile_key
),

grandparents as (
    select
        parents.profile_key,
        coalesce(upper_parents.parent_key, parents.parent_key) as root_key
    from parents
    left join parents as upper_parents on parents.parent_key = upper_parents.profile_key
),

-- links between different trees, few
roots_linked as (
    select distinct
        coalesce(one.root_key, links.profile_key) as root_key,
        other.root_key as neighbour_key
    from links
    inner join grandparents as other on links.other_profile_key = other.profile_key
    left join grandparents as one on links.profile_key = one.profile_key
    where other.root_key <> coalesce(one.root_key, links.profile_key)
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

members as (
    select * from grandparents
    union all
    -- a profile without a smaller neighbour is a root itself
    select distinct
        links.profile_key,
        links.profile_key as root_key
    from links
    anti join parents on links.profile_key = parents.profile_key
)

-- the smallest profile of a component is a root, and its label the smallest
select
    members.profile_key,
    coalesce(labels.label, members.root_key) as component_key
from members
left join labels on members.root_key = labels.root_key
