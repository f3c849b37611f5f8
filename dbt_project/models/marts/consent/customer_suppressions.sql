-- Grain: one row per customer, channel and reason not to use it: the first evidence of it.
-- It outranks every consent, and one address of a customer suppresses the customer.
with events as (
    select * from {{ ref('int_suppression_events_unioned') }}
),

subjects as (
    select * from {{ ref('int_customer_subjects_listed') }}
),

reasons as (
    select * from {{ ref('suppression_reasons') }}
),

suppressed as (
    select
        subjects.customer_id,
        events.*
    from events
    inner join subjects
        on
            events.subject_type = subjects.subject_type
            and events.subject = subjects.subject
    left join reasons on events.reason = reasons.reason
    -- that a mailbox is gone says nothing of the one which a steward put in its place
    where not (subjects.is_rectified and coalesce(reasons.suppresses, '') = 'channel')
    qualify row_number() over (
        partition by subjects.customer_id, events.channel, events.reason
        order by
            events.occurred_at asc nulls first,
            events.evidence_id asc,
            events.subject_type asc,
            events.subject asc
    ) = 1
)

select
    customer_id,
    channel,
    reason,
    source,
    occurred_at as suppressed_at,
    evidence_id,
    {{ as_of_date() }} as as_of_date
from suppressed
