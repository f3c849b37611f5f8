-- Grain: one row per field of a record that is here, for which a rectification is in force.
-- The record's other fields stay those of the source; delivered_value is what the source says.
with rectifications as (
    select
        *,
        {{ hash_of(['source_record_id']) }} as record_key
    from {{ source('state', 'rectifications') }}
),

records as (
    select * from {{ ref('int_records_unioned') }}
)

select
    rectifications.rectification_id,
    rectifications.record_key,
    rectifications.source_record_id,
    rectifications.action,
    rectifications.field,
    case rectifications.field
        {% for field, field_group in rectifiable_fields().items() %}
        when '{{ field }}' then '{{ field_group }}'
        {% endfor %}
    end as field_group,
    -- nothing is the value of a field that was cleared
    nullif(rectifications.value, '') as value,
    case rectifications.field
        {% for field in rectifiable_fields() %}
        when '{{ field }}' then cast(records.{{ field }} as varchar)
        {% endfor %}
    end as delivered_value,
    rectifications.decided_at
from rectifications
inner join records on rectifications.source_record_id = records.source_record_id
