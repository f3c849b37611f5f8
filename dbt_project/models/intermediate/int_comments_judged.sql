-- Grain: one row per comment: whose it is and how it sounds, without what it says.
-- A comment that VADER cannot rate is unknown: its words are foreign or none is in the lexicon.
with comments as (
    select
        source_record_id,
        source,
        said_at,
        text_key
    from {{ ref('int_comments_collected') }}
),

ratings as (
    select * from {{ ref('int_comments_rated') }}
),

sources as (
    select
        source_record_id,
        customer_id
    from {{ ref('int_customer_sources_resolved') }}
)

select
    comments.source_record_id,
    sources.customer_id,
    comments.source,
    comments.said_at,
    comments.text_key,
    ratings.language,
    ratings.sentiment_score,
    {{ sentiment_category('ratings.sentiment_score') }} as sentiment
from comments
left join ratings on comments.text_key = ratings.text_key
left join sources on comments.source_record_id = sources.source_record_id
