-- Grain: one row per blocking key that a changed profile had at the last build.
-- Filled in an increment only, before the keys are collected anew.
{% set changed = ref('int_profiles_changed') %}

{% if increment() %}

select
    profile_key,
    key_number,
    block
from {{ source('last_build', 'int_blocking_keys_collected') }}
where profile_key in (select profile_key from {{ changed }})

{% else %}

select
    profile_key,
    cast(null as utinyint) as key_number,
    cast(null as ubigint) as block
from {{ changed }}
where false

{% endif %}
