-- Grain: one row per survey response.
-- Respondents give an e-mail or a phone, never a name.
with newest_per_response as (
    {{ newest_versions(source('surveys', 'responses'), key='response_id') }}
),

typed as (
    select
        'surveys:' || response_id as source_record_id,
        response_id,
        email,
        phone,
        survey,
        {{ whole_number('nps_score') }} as nps_score,
        {{ whole_number('csat_score') }} as csat_score,
        comment,
        {{ utc('responded_at') }} as responded_at,
        _loaded_at,
        _source_file,
        _row_hash
    from newest_per_response
)

select * from typed
