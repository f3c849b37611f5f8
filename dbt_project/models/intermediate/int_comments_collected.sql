-- Grain: one row per survey response or ticket in which somebody wrote something.
-- A ticket's subject and body are one text, without the courtesies of a letter; blanks are none.
with responses as (
    select * from {{ ref('stg_surveys__responses') }}
),

tickets as (
    select * from {{ ref('stg_support__tickets') }}
),

unioned as (
    select
        source_record_id,
        'surveys' as source,
        responded_at as said_at,
        {{ visible_text('comment') }} as text
    from responses

    union all

    select
        source_record_id,
        'support' as source,
        opened_at as said_at,
        {{ visible_text(without_courtesies("concat_ws(chr(10), subject, body)")) }} as text
    from tickets
)

select
    source_record_id,
    source,
    said_at,
    text,
    md5(text) as text_key
from unioned
where text is not null
