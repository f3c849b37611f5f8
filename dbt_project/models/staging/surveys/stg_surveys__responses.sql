-- Grain: one row per survey response.
-- Respondents give an e-mail or a phone, never a name.
with exported as (
    select * from {{ source('surveys', 'responses') }}
),

typed as (
    select
        'surveys:' || response_id as source_record_id,
        response_id,
        email,
        phone,
        survey,
        cast(nps_score as integer) as nps_score,
        cast(csat_score as integer) as csat_score,
        comment,
        {{ utc('responded_at') }} as responded_at,
        _loaded_at,
        _source_file,
        _row_hash
    from exported
),

newest_per_response as (
    select * from typed
    qualify {{ newest_version('response_id') }}
)

select * from newest_per_response
