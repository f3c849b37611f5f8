-- Grain: one row per support ticket, whatever its day; what it says is not published.
-- Its state is that of the as-of day: solved later means open, opened later means neither.
with staged as (
    select * from {{ ref('stg_support__tickets') }}
),

statuses as (
    select * from {{ ref('ticket_statuses') }}
),

sources as (
    select
        source_record_id,
        customer_id
    from {{ ref('int_customer_sources_resolved') }}
),

comments as (
    select
        source_record_id,
        sentiment_score,
        sentiment
    from {{ ref('int_comments_judged') }}
    where source = 'support'
),

dated as (
    select
        staged.*,
        statuses.is_solved as is_solved_by_status,
        {{ is_known('staged.opened_at') }} as is_known,
        coalesce(staged.solved_at >= {{ as_of_end() }}, false) as is_solved_later,
        coalesce(
            staged.first_replied_at < staged.opened_at or staged.solved_at < staged.opened_at, false
        ) as has_impossible_times
    from staged
    left join statuses on staged.status = statuses.status
),

states as (
    select
        *,
        is_known
        and not is_solved_later
        -- a status that no one has explained says nothing; a time of solution does
        and coalesce(is_solved_by_status, solved_at is not null) as is_solved,
        is_known
        and not is_solved_later
        and solved_at is not null
        and coalesce(not is_solved_by_status, false) as is_reopened
    from dated
)

select
    states.source_record_id as ticket_key,
    sources.customer_id,
    states.source_record_id,
    states.channel,
    states.priority,
    states.status,
    states.opened_at,
    states.first_replied_at,
    states.solved_at,
    states.is_known and not states.is_solved as is_open,
    states.is_solved,
    states.is_reopened,
    states.has_impossible_times,
    case
        when states.is_known and {{ is_known('states.first_replied_at') }}
            then {{ seconds_between('states.opened_at', 'states.first_replied_at') }}
    end as first_reply_seconds,
    case
        when states.is_solved
            then {{ seconds_between('states.opened_at', 'states.solved_at') }}
    end as resolution_seconds,
    cast({{ on_scale('states.csat_score', 1, 5) }} as bigint) as csat_score,
    coalesce(states.csat_score not between 1 and 5, false) as has_invalid_score,
    coalesce(states.solved_at, states.opened_at) as scored_at,
    comments.sentiment_score,
    comments.sentiment
from states
left join sources on states.source_record_id = sources.source_record_id
left join comments on states.source_record_id = comments.source_record_id
