-- Grain: one row per statement of consent: who is meant, for what, granted or withdrawn, when.
-- The subject is an e-mail, a phone or a CRM contact; a person with several gets several answers.
with consents as (
    select
        consent_id,
        purpose,
        status,
        legal_basis,
        occurred_at,
        {{ normalise_email('email') }} as email,
        phone,
        {{ phone_digits('phone') }} as phone_digits
    from {{ ref('stg_mailing__consents') }}
),

home_plan as (
    select * from {{ ref('phone_plans') }}
    where country_code = '{{ var("home_country") }}'
),

consents_normalised as (
    select
        consents.*,
        {{ phone_e164('consents.phone', 'consents.phone_digits', 'home_plan') }} as phone_e164
    from consents
    cross join home_plan
),

subscribers as (
    select
        subscriber_id,
        {{ normalise_email('email') }} as email
    from {{ ref('stg_mailing__subscribers') }}
),

deliveries as (
    select * from {{ ref('stg_mailing__deliveries') }}
),

contacts as (
    select * from {{ ref('stg_crm__contacts') }}
),

unioned as (
    select
        'mailing:consent:' || consent_id as evidence_id,
        'email' as subject_type,
        email as subject,
        purpose,
        status,
        legal_basis,
        occurred_at
    from consents_normalised
    where email is not null

    union all

    select
        'mailing:consent:' || consent_id as evidence_id,
        'phone' as subject_type,
        phone_e164 as subject,
        purpose,
        status,
        legal_basis,
        occurred_at
    from consents_normalised
    where phone_e164 is not null

    union all

    select
        'mailing:delivery:' || deliveries.delivery_id as evidence_id,
        'email' as subject_type,
        subscribers.email as subject,
        'email_marketing' as purpose,
        'withdrawn' as status,
        'consent' as legal_basis,
        deliveries.occurred_at
    from deliveries
    inner join subscribers on deliveries.subscriber_id = subscribers.subscriber_id
    where deliveries.event_type = 'unsubscribe' and subscribers.email is not null

    union all

    select
        source_record_id as evidence_id,
        'record' as subject_type,
        source_record_id as subject,
        'email_marketing' as purpose,
        case when is_marketing_opted_in then 'granted' else 'withdrawn' end as status,
        'consent' as legal_basis,
        updated_at as occurred_at
    from contacts
    where is_marketing_opted_in is not null and not is_deleted
)

select * from unioned
where
    purpose is not null
    and (occurred_at is null or occurred_at < {{ as_of_end() }})
