-- Grain: one row per customer: the value that survived for each field and its record.
-- Reads what int_golden_values_ranked ranked first; the winner's gaps stay gaps.
{{ config(
    materialized='incremental',
    incremental_strategy='replace_changed',
    meta={'replaces': {'key': 'customer_id', 'changed': 'int_customers_changed'}}
) }}
{% set changed = ref('int_customers_changed') %}

with customers as (
    -- a web visitor says nothing about a person
    select distinct customer_id from {{ ref('int_customer_sources_resolved') }}
    where record_key is not null {{ only_changed('customer_id', changed, conjunction='and') }}
),

survivors as (
    select * from {{ ref('int_golden_values_ranked') }}
    where rank = 1 {{ only_changed('customer_id', changed, conjunction='and') }}
),

records as (
    select * from {{ ref('int_records_normalised') }}
),

names as (
    select
        survivors.customer_id,
        records.first_name,
        records.last_name
    from survivors
    inner join records on survivors.source_record_id = records.source_record_id
    where survivors.field_group = 'name'
),

addresses as (
    select
        survivors.customer_id,
        records.street,
        records.city,
        records.postcode,
        records.country
    from survivors
    inner join records on survivors.source_record_id = records.source_record_id
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
        customer_id
    from survivors
    group by customer_id
)

select
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
left join wide on customers.customer_id = wide.customer_id
left join names on customers.customer_id = names.customer_id
left join addresses on customers.customer_id = addresses.customer_id
