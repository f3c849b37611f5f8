-- Grain: one row per consent event.
-- An event speaks for an e-mail address or a phone number, not yet for a person.
with newest_per_consent as (
    {{ newest_versions(source('mailing', 'consents'), key='consent_id') }}
),

typed as (
    select
        consent_id,
        email,
        phone,
        lower(trim(purpose)) as purpose,
        lower(trim(status)) as status,
        lower(trim(legal_basis)) as legal_basis,
        {{ utc('occurred_at') }} as occurred_at,
        _loaded_at,
        _source_file,
        _row_hash
    from newest_per_consent
)

select * from typed
