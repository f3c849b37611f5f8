-- Grain: one row per customer, also those who never said anything: words beside deeds.
-- The latest answer counts for the category; survey and support desk both ask for satisfaction.
with segments as (
    select
        customer_id,
        lifecycle_stage,
        recency_days,
        purchase_count,
        reporting_net_amount
    from {{ ref('customer_segments') }}
),

scores as (
    select * from {{ ref('int_scores_summed') }}
),

comments as (
    select * from {{ ref('int_comments_summed') }}
),

themes as (
    select
        customer_id,
        count(*) as theme_count,
        max(case when theme_rank = 1 then theme end) as main_theme
    from {{ ref('customer_feedback_themes') }}
    group by customer_id
)

select
    segments.customer_id,
    coalesce(scores.response_count, 0) as response_count,
    coalesce(scores.nps_response_count, 0) as nps_response_count,
    scores.nps_score,
    {{ nps_category('scores.nps_score') }} as nps_category,
    scores.previous_nps_score,
    scores.nps_answered_at,
    coalesce(scores.csat_response_count, 0) as csat_response_count,
    scores.csat_score,
    scores.csat_mean,
    coalesce(comments.comment_count, 0) as comment_count,
    coalesce(comments.positive_comment_count, 0) as positive_comment_count,
    coalesce(comments.neutral_comment_count, 0) as neutral_comment_count,
    coalesce(comments.negative_comment_count, 0) as negative_comment_count,
    coalesce(comments.unknown_comment_count, 0) as unknown_comment_count,
    comments.sentiment_mean,
    comments.last_sentiment,
    coalesce(themes.theme_count, 0) as theme_count,
    themes.main_theme,
    greatest(scores.last_responded_at, scores.last_scored_at, comments.last_commented_at)
        as last_feedback_at,
    segments.lifecycle_stage,
    segments.recency_days,
    segments.purchase_count,
    segments.reporting_net_amount,
    '{{ var("reporting_currency") }}' as reporting_currency_code,
    {{ as_of_date() }} as as_of_date
from segments
left join scores on segments.customer_id = scores.customer_id
left join comments on segments.customer_id = comments.customer_id
left join themes on segments.customer_id = themes.customer_id
