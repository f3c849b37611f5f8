-- Grain: one row per customer who answered a survey or scored a ticket by the as-of day.
-- The latest score counts; of two at one instant that of the greater record id.
with responses as (
    select * from {{ ref('surveys') }}
    where {{ is_known('responded_at') }}
),

tickets as (
    select * from {{ ref('tickets') }}
    where {{ is_known('scored_at') }}
),

scores as (
    select
        customer_id,
        source_record_id,
        responded_at as scored_at,
        1 as response,
        nps_score,
        csat_score
    from responses

    union all

    select
        customer_id,
        source_record_id,
        scored_at,
        0 as response,
        null as nps_score,
        csat_score
    from tickets
    where csat_score is not null
),

ranked as (
    select
        *,
        case when nps_score is not null then row_number() over (
            partition by customer_id, nps_score is null
            order by scored_at desc, source_record_id desc
        ) end as nps_rank,
        case when csat_score is not null then row_number() over (
            partition by customer_id, csat_score is null
            order by scored_at desc, source_record_id desc
        ) end as csat_rank
    from scores
)

select
    customer_id,
    cast(sum(response) as bigint) as response_count,
    max(case when response = 1 then scored_at end) as last_responded_at,
    count(nps_score) as nps_response_count,
    max(case when nps_rank = 1 then nps_score end) as nps_score,
    max(case when nps_rank = 2 then nps_score end) as previous_nps_score,
    max(case when nps_rank = 1 then scored_at end) as nps_answered_at,
    count(csat_score) as csat_response_count,
    max(case when csat_rank = 1 then csat_score end) as csat_score,
    {{ mean_of('csat_score') }} as csat_mean,
    max(scored_at) as last_scored_at
from ranked
where customer_id is not null
group by customer_id
