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
    where {% if increment() %}record_key in (select record_key from {{ changed }}){% else %}false{% endif %}
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
    {% if increment() %}value_key in (select value_key from {{ shared }}){% else %}false{% endif %}
        as was_shared
from touched
where value_key is not null
