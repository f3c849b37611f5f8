-- Grain: one row per customer: the value that survived for each field and its record.
-- Reads what int_golden_values_ranked ranked first; the winner's gaps stay gaps.
{{ config(
    materialized='incremental',
    incremental_strategy='replace_changed',
    meta={'replaces': {'key': 'customer_key', 'changed': 'int_customers_changed'}}
) }}
{% set changed = ref('int_customers_changed') %}

with customers as (
    select
        customer_key,
        any_value(customer_id) as customer_id
    from {{ ref('int_records_assigned') }}
    {{ only_changed('customer_key', changed) }}
    group by customer_key
),

survivors as (
    select * from {{ ref('int_golden_values_ranked') }}
    where rank = 1 {{ only_changed('customer_key', changed, conjunction='and') }}
),

records as (
    select * from {{ ref('int_records_normalised') }}
),

names as (
    select
        survivors.customer_key,
        records.first_name,
        records.last_name
    from survivors
    inner join records on survivors.record_key = records.record_key
    where survivors.field_group = 'name'
),

addresses as (
    select
        survivors.customer_key,
        records.street,
        records.city,
        records.postcode,
        records.country
    from survivors
    inner join records on survivors.record_key = records.record_key
    where survivors.field_group = 'address'
),

-- one survivor for each group of fields, so `max` picks nothing
wide as (
    select
        {% for field_group in field_groups() %}
        max(case when field_group = '{{ field_group }}' then value end) as {{ field_group }},
        max(case when field_group = '{{ field_group }}' then source_record_id end)
            as {{ field_group }}_source_record_id,
        {% endfor %}
        customer_key
    from survivors
    group by customer_key
)

select
    customers.customer_key,
    customers.customer_id,
    names.first_name,
    names.last_name,
    wide.name_source_record_id,
    wide.email,
    wide.email_source_record_id,
    wide.phone,
    wide.phone_source_record_id,
    cast(wide.birth_date as date) as birth_date,
    wide.birth_date_source_record_id,
    wide.gender,
    wide.gender_source_record_id,
    wide.national_id,
    wide.national_id_source_record_id,
    addresses.street,
    addresses.city,
    addresses.postcode,
    addresses.country,
    wide.address_source_record_id,
    wide.company,
    wide.company_source_record_id
from customers
left join wide on customers.customer_key = wide.customer_key
left join names on customers.customer_key = names.customer_key
left join addresses on customers.customer_key = addresses.customer_key
