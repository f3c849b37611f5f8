-- Grain: one row per calendar month (UTC) and survey with a response known on the as-of day.
-- Every response counts, also a person's second; the net promoter score is null without a score.
with responses as (
    select
        {{ month_of('responded_at') }} as month,
        coalesce(survey, 'unnamed') as survey,
        nps_score,
        nps_category,
        csat_score,
        has_comment,
        sentiment
    from {{ ref('surveys') }}
    where {{ is_known('responded_at') }}
),

counted as (
    select
        month,
        survey,
        count(*) as response_count,
        count(nps_score) as nps_response_count,
        count(*) filter (where nps_category = 'promoter') as promoter_count,
        count(*) filter (where nps_category = 'passive') as passive_count,
        count(*) filter (where nps_category = 'detractor') as detractor_count,
        count(csat_score) as csat_response_count,
        {{ mean_of('csat_score') }} as csat_mean,
        count(*) filter (where has_comment) as comment_count,
        count(*) filter (where sentiment = 'positive') as positive_comment_count,
        count(*) filter (where sentiment = 'negative') as negative_comment_count
    from responses
    group by
        month,
        survey
)

select
    month,
    survey,
    response_count,
    nps_response_count,
    promoter_count,
    passive_count,
    detractor_count,
    round(
        100.0 * cast(promoter_count - detractor_count as double) / nullif(nps_response_count, 0), 6
    ) as net_promoter_score,
    csat_response_count,
    csat_mean,
    comment_count,
    positive_comment_count,
    negative_comment_count,
    {{ as_of_date() }} as as_of_date
from counted
