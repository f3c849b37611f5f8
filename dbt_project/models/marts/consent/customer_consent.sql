-- Grain: one row per customer, purpose and period, half open: from valid_from until valid_until.
-- On each day the most restrictive address or record wins; a day without a row is unknown.
with consents as (
    select * from {{ ref('int_subject_consents_dated') }}
),

subjects as (
    select * from {{ ref('int_customer_subjects_listed') }}
),

told as (
    select
        subjects.customer_id,
        consents.*,
        -- a plain comparison, or the join below is a nested loop (DuckDB 1.5)
        coalesce(consents.valid_until, {{ for_ever() }}) as ends_on
    from consents
    inner join subjects
        on
            consents.subject_type = subjects.subject_type
            and consents.subject = subjects.subject
    -- a yes to an address that was not theirs is none to the right one; a no is
    where not (consents.is_granted and subjects.is_rectified)
),

days as (
    select
        customer_id,
        purpose,
        valid_from as day
    from told

    union

    select
        customer_id,
        purpose,
        valid_until as day
    from told
    where valid_until is not null
),

strictest as (
    select
        days.customer_id,
        days.purpose,
        days.day,
        told.is_granted,
        told.source,
        told.legal_basis,
        told.occurred_at,
        told.evidence_id
    from days
    left join told
        on
            days.customer_id = told.customer_id
            and days.purpose = told.purpose
            and days.day >= told.valid_from
            and days.day < told.ends_on
    qualify row_number() over (
        partition by days.customer_id, days.purpose, days.day
        order by
            told.is_granted asc nulls last,
            told.occurred_at desc nulls last,
            told.evidence_id asc nulls last,
            told.subject_type asc nulls last,
            told.subject asc nulls last
    ) = 1
),

changed as (
    select * from strictest
    qualify
        evidence_id is distinct from lag(evidence_id) over (
            partition by customer_id, purpose
            order by day
        )
),

periods as (
    select
        *,
        lead(day) over (
            partition by customer_id, purpose
            order by day
        ) as next_day
    from changed
)

select
    customer_id,
    purpose,
    day as valid_from,
    next_day as valid_until,
    next_day is null as is_current,
    case when is_granted then 'granted' else 'withdrawn' end as consent_status,
    is_granted,
    legal_basis,
    source,
    occurred_at as decided_at,
    evidence_id,
    {{ as_of_date() }} as as_of_date
from periods
-- nobody said anything that still counts
where evidence_id is not null
