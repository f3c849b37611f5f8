-- Grain: one row per customer and e-mail address, phone or record by which consent may name them.
-- An address that several customers share is each one's: a no to it is a no of all of them.
with records as (
    select * from {{ ref('int_records_normalised') }}
),

sources as (
    select * from {{ ref('int_customer_sources_resolved') }}
    where record_key is not null
),

of_customers as (
    select
        sources.customer_id,
        records.source_record_id,
        records.email,
        records.match_phone
    from records
    inner join sources on records.record_key = sources.record_key
)

select
    customer_id,
    'email' as subject_type,
    email as subject
from of_customers
where email is not null

union

select
    customer_id,
    'phone' as subject_type,
    match_phone as subject
from of_customers
where match_phone is not null

union

select
    customer_id,
    'record' as subject_type,
    source_record_id as subject
from of_customers
where source_record_id like 'crm:%' or source_record_id like 'mailing:%'
