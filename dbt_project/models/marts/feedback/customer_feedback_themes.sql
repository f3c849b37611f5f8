-- Grain: one row per customer and theme that a comment known on the as-of day speaks of.
-- A comment may speak of several themes or of none, so the counts do not add up to comments.
with comments as (
    select
        customer_id,
        text_key,
        said_at,
        sentiment
    from {{ ref('int_comments_judged') }}
    where {{ is_known('said_at') }} and customer_id is not null
),

themes as (
    select
        text_key,
        theme
    from {{ ref('int_comment_themes_matched') }}
),

counted as (
    select
        comments.customer_id,
        themes.theme,
        count(*) as comment_count,
        count(*) filter (where comments.sentiment = 'positive') as positive_comment_count,
        count(*) filter (where comments.sentiment = 'negative') as negative_comment_count,
        max(comments.said_at) as last_mentioned_at
    from comments
    inner join themes on comments.text_key = themes.text_key
    group by
        comments.customer_id,
        themes.theme
)

select
    customer_id,
    theme,
    comment_count,
    positive_comment_count,
    negative_comment_count,
    last_mentioned_at,
    row_number() over (
        partition by customer_id
        order by comment_count desc, last_mentioned_at desc, theme asc
    ) as theme_rank
from counted
