-- Grain: one row per subject, purpose and first day of a period in which its last word is the same.
-- The last statement of a day counts, of two at one instant the no; an undated no always does.
with statements as (
    select * from {{ ref('int_consent_events_unioned') }}
    where standing <> 'void'
),

undated as (
    select
        *,
        {{ since_ever() }} as valid_from
    from statements
    -- grants without a date are void
    where occurred_at is null
    qualify row_number() over (
        partition by subject_type, subject, purpose
        order by evidence_id
    ) = 1
),

dated as (
    select
        statements.*,
        greatest(cast(statements.occurred_at as date), {{ since_ever() }}) as valid_from
    from statements
    where statements.occurred_at is not null
),

without_undated as (
    select dated.* from dated
    left join undated
        on
            dated.subject_type = undated.subject_type
            and dated.subject = undated.subject
            and dated.purpose = undated.purpose
    where undated.subject is null
),

last_of_day as (
    select * from without_undated
    qualify row_number() over (
        partition by subject_type, subject, purpose, valid_from
        order by
            occurred_at desc,
            case standing when 'withdrawn' then 1 when 'silent' then 2 else 3 end asc,
            evidence_id asc
    ) = 1
),

told as (
    select * from undated

    union all

    select * from last_of_day
),

periods as (
    select
        subject_type,
        subject,
        purpose,
        valid_from,
        lead(valid_from) over (
            partition by subject_type, subject, purpose
            order by valid_from
        ) as valid_until,
        standing = 'granted' as is_granted,
        standing,
        source,
        legal_basis,
        occurred_at,
        evidence_id
    from told
)

select * exclude (standing)
from periods
-- who took a yes back without a no says nothing
where standing <> 'silent'
