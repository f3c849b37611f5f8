-- Grain: one row per profile that has to be clustered anew.
-- Filled in an increment only: all members, then or now, of a component with a new or lost link.
{% set rescored = ref('int_profiles_rescored') %}
{% set links = ref('int_profiles_linked') %}
{% set known = source('last_build', 'int_profiles_connected') %}

{% if increment() %}

with ends as (
    select profile_key from {{ rescored }}
    union
    select other_profile_key from {{ links }}
    where profile_key in (select profile_key from {{ rescored }})
    union
    select profile_key from {{ links }}
    where other_profile_key in (select profile_key from {{ rescored }})
),

components as (
    select distinct component_key
    from {{ known }}
    where profile_key in (select profile_key from ends)
)

select profile_key from ends
union
select profile_key from {{ known }}
where component_key in (select component_key from components)

{% else %}

select profile_key from {{ rescored }}
where false

{% endif %}
