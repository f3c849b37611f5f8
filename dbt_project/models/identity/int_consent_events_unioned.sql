-- Grain: one row per statement of consent, its subject (e-mail, phone or record) and purpose.
-- Only a plain grant, dated and on an allowed basis, is a grant; all else is a no, or void.
with consents as (
    select
        *,
        {{ normalise_email('email') }} as email_normalised,
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
        {{ phone_subject('consents.phone', 'consents.phone_digits', 'home_plan') }} as phone_subject
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

opt_ins as (
    select * from {{ ref('stg_crm__opt_ins') }}
),

purposes as (
    select * from {{ ref('consent_purposes') }}
),

unioned as (
    select
        'mailing:consent:' || consent_id as evidence_id,
        'mailing' as source,
        'email' as subject_type,
        email_normalised as subject,
        purpose,
        status,
        legal_basis,
        occurred_at
    from consents_normalised
    where email_normalised is not null

    union all

    select
        'mailing:consent:' || consent_id as evidence_id,
        'mailing' as source,
        'phone' as subject_type,
        phone_subject as subject,
        purpose,
        status,
        legal_basis,
        occurred_at
    from consents_normalised
    where phone_subject is not null

    union all

    select
        'mailing:delivery:' || deliveries.delivery_id as evidence_id,
        'mailing' as source,
        case when subscribers.email is null then 'record' else 'email' end as subject_type,
        coalesce(subscribers.email, deliveries.source_record_id) as subject,
        'email_marketing' as purpose,
        'withdrawn' as status,
        'consent' as legal_basis,
        deliveries.occurred_at
    from deliveries
    left join subscribers on deliveries.subscriber_id = subscribers.subscriber_id
    where
        deliveries.event_type in ('unsubscribe', 'unsubscribed', 'complaint')
        and deliveries.source_record_id is not null

    union all

    select
        'crm:optin:' || opt_ins.opt_in_id as evidence_id,
        'crm' as source,
        'record' as subject_type,
        opt_ins.source_record_id as subject,
        'email_marketing' as purpose,
        case
            when opt_ins.is_opted_in is null then 'not asked'
            when opt_ins.is_opted_in then 'granted'
            else 'withdrawn'
        end as status,
        'consent' as legal_basis,
        opt_ins.answered_at as occurred_at
    from opt_ins
    inner join contacts on opt_ins.contact_id = contacts.contact_id
    where not contacts.is_deleted
),

known as (
    select
        unioned.*,
        purposes.purpose is not null as names_a_purpose
    from unioned
    left join purposes on unioned.purpose = purposes.purpose
    where unioned.occurred_at is null or unioned.occurred_at < {{ as_of_end() }}
),

of_purposes as (
    select
        known.evidence_id,
        known.source,
        known.subject_type,
        known.subject,
        listed.purpose,
        known.status,
        known.legal_basis,
        known.occurred_at,
        known.occurred_at is not null
        and {{ is_listed('known.legal_basis', 'listed.allowed_bases') }} as is_provable
    from known
    inner join purposes as listed
        on
            known.purpose = listed.purpose
            -- a no to nobody knows what is a no to everything
            or (not known.names_a_purpose and known.status is distinct from 'granted')
)

select
    evidence_id,
    source,
    subject_type,
    subject,
    purpose,
    status,
    legal_basis,
    occurred_at,
    case
        when status = 'granted' and is_provable then 'granted'
        when status = 'granted' then 'void'
        when status = 'not asked' then 'silent'
        else 'withdrawn'
    end as standing
from of_purposes
