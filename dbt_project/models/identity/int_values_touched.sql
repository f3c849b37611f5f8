-- Grain: one row per e-mail or phone on a record that changed, before or after.
-- Filled in an increment only; whether such a value is shared has to be judged again.
{% set changed = ref('int_records_changed') %}
{% set records = ref('int_records_normalised') %}
{% set shared = source('last_build', 'int_values_shared') %}

with before as (
    select email_key as value_key from {{ changed }}
    union all
    select phone_key as value_key from {{ changed }}
),

records_now as (
    select
        email_key,
        phone_key
    from {{ records }}
    where {{ is_changed('record_key', changed) }}
),

after as (
    select email_key as value_key from records_now
    union all
    select phone_key as value_key from records_now
),

touched as (
    select value_key from before
    union
    select value_key from after
)

select
    value_key,
    {{ is_changed('value_key', shared) }} as was_shared
from touched
where value_key is not null
