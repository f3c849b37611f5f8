-- Grain: one row per survey response, whatever its day.
-- The words of a comment stay inside, for they may hold anything; how they sound is published.
with staged as (
    select * from {{ ref('stg_surveys__responses') }}
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
    where source = 'surveys'
)

select
    staged.source_record_id as response_key,
    sources.customer_id,
    staged.source_record_id,
    staged.survey,
    staged.responded_at,
    {{ is_known('staged.responded_at') }} as is_counted,
    cast({{ on_scale('staged.nps_score', 0, 10) }} as bigint) as nps_score,
    {{ nps_category('staged.nps_score') }} as nps_category,
    cast({{ on_scale('staged.csat_score', 1, 5) }} as bigint) as csat_score,
    coalesce(
        staged.nps_score not between 0 and 10 or staged.csat_score not between 1 and 5, false
    ) as has_invalid_score,
    comments.source_record_id is not null as has_comment,
    comments.sentiment_score,
    comments.sentiment
from staged
left join sources on staged.source_record_id = sources.source_record_id
left join comments on staged.source_record_id = comments.source_record_id
