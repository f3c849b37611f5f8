-- Grain: one row per profile that appeared, went or has to be judged again since the last build.
-- Filled in an increment only.
{% set changed = ref('int_records_changed') %}
{% set touched = ref('int_values_touched') %}
{% set records = ref('int_records_normalised') %}
{% set shared = ref('int_values_shared') %}

{% if increment() %}

with values_in_question as (
    select value_key from {{ touched }}
    where was_shared or value_key in (select value_key from {{ shared }})
)

select profile_key from {{ changed }}
where profile_key is not null
union
select profile_key from {{ records }}
where
    record_key in (select record_key from {{ changed }})
    or email_key in (select value_key from values_in_question)
    or phone_key in (select value_key from values_in_question)

{% else %}

select profile_key from {{ records }}
where false

{% endif %}
