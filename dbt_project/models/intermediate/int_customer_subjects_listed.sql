-- Grain: one row per customer and e-mail address, phone or record by which consent may name them.
-- An address that several customers share is each one's: a no to it is a no of all of them.
with records as (
    select * from {{ ref('int_records_normalised') }}
),

sources as (
    select * from {{ ref('int_customer_sources_resolved') }}
    where record_key is not null
),

rectifications as (
    select
        record_key,
        field,
        {{ normalise_email('delivered_value') }} as email,
        delivered_value as phone,
        {{ phone_digits('delivered_value') }} as phone_digits
    from {{ ref('int_rectifications_applied') }}
    where field in ('email', 'phone')
),

home_plan as (
    select * from {{ ref('phone_plans') }}
    where country_code = '{{ var("home_country") }}'
),

of_customers as (
    select
        sources.customer_id,
        records.source_record_id,
        records.email,
        records.match_phone
    from records
    inner join sources on records.record_key = sources.record_key
),

present as (
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
),

-- what a source holds and a steward has rectified: who said no with it has said no
former as (
    select
        sources.customer_id,
        rectifications.field as subject_type,
        case
            when rectifications.field = 'email' then rectifications.email
            else {{ phone_subject(
                'rectifications.phone', 'rectifications.phone_digits', 'home_plan'
            ) }}
        end as subject
    from rectifications
    inner join sources on rectifications.record_key = sources.record_key
    cross join home_plan
)

select
    customer_id,
    subject_type,
    subject,
    false as is_rectified
from present

union all

select distinct
    former.customer_id,
    former.subject_type,
    former.subject,
    true as is_rectified
from former
anti join present
    on
        former.customer_id = present.customer_id
        and former.subject_type = present.subject_type
        and former.subject = present.subject
where former.subject is not null
