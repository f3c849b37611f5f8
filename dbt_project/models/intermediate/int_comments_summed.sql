-- Grain: one row per customer who wrote something by the as-of day.
-- The mean is that of the comments that could be rated; the latest comment may be unknown.
with comments as (
    select
        customer_id,
        source_record_id,
        said_at,
        sentiment,
        -- a float sum's last bit hangs on the order of the rows; VADER gives four decimals
        cast(sentiment_score as decimal(18, 4)) as sentiment_score,
        row_number() over (
            partition by customer_id
            order by said_at desc, source_record_id desc
        ) as recency_rank
    from {{ ref('int_comments_judged') }}
    where {{ is_known('said_at') }} and customer_id is not null
)

select
    customer_id,
    count(*) as comment_count,
    count(*) filter (where sentiment = 'positive') as positive_comment_count,
    count(*) filter (where sentiment = 'neutral') as neutral_comment_count,
    count(*) filter (where sentiment = 'negative') as negative_comment_count,
    count(*) filter (where sentiment = 'unknown') as unknown_comment_count,
    {{ mean_of('sentiment_score') }} as sentiment_mean,
    max(case when recency_rank = 1 then sentiment end) as last_sentiment,
    max(said_at) as last_commented_at
from comments
group by customer_id
