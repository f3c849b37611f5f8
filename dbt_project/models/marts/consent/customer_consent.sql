-- Grain: one row per customer and purpose that anybody stated something about.
-- The most restrictive wins: one address that said no makes it no. No row is unknown, not yes.
with events as (
    select * from {{ ref('int_consent_events_unioned') }}
),

records as (
    select
        record_key,
        source_record_id,
        email,
        phone
    from {{ ref('int_records_normalised') }}
),

sources as (
    select
        record_key,
        customer_id
    from {{ ref('int_customer_sources_resolved') }}
    where record_key is not null
),

latest_per_subject as (
    select * from events
    qualify row_number() over (
        partition by subject_type, subject, purpose
        -- undated statements are the oldest; of two at one instant the withdrawal counts
        order by occurred_at desc nulls last, status desc, evidence_id desc
    ) = 1
),

subjects_of_customers as (
    select
        sources.customer_id,
        'email' as subject_type,
        records.email as subject
    from records
    inner join sources on records.record_key = sources.record_key
    where records.email is not null

    union

    select
        sources.customer_id,
        'phone' as subject_type,
        records.phone as subject
    from records
    inner join sources on records.record_key = sources.record_key
    where records.phone is not null

    union

    select
        sources.customer_id,
        'record' as subject_type,
        records.source_record_id as subject
    from records
    inner join sources on records.record_key = sources.record_key
    where records.source_record_id like 'crm:%'
),

strictest as (
    select
        subjects_of_customers.customer_id,
        latest_per_subject.*
    from latest_per_subject
    inner join subjects_of_customers
        on
            latest_per_subject.subject_type = subjects_of_customers.subject_type
            and latest_per_subject.subject = subjects_of_customers.subject
    qualify row_number() over (
        partition by subjects_of_customers.customer_id, latest_per_subject.purpose
        -- anything but a plain "granted" is a no
        order by
            case when latest_per_subject.status = 'granted' then 1 else 0 end asc,
            latest_per_subject.occurred_at desc nulls last,
            latest_per_subject.evidence_id asc,
            latest_per_subject.subject_type asc
    ) = 1
)

select
    customer_id,
    purpose,
    case when status = 'granted' then 'granted' else 'withdrawn' end as consent_status,
    coalesce(status = 'granted', false) as is_granted,
    legal_basis,
    occurred_at as decided_at,
    evidence_id,
    {{ as_of_date() }} as as_of_date
from strictest
