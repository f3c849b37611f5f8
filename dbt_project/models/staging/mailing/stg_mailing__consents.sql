-- Grain: one row per consent event.
-- An event speaks for an e-mail address or a phone number, not yet for a person.
with exported as (
    select * from {{ source('mailing', 'consents') }}
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
    from exported
),

newest_per_consent as (
    select * from typed
    qualify {{ newest_version('consent_id') }}
)

select * from newest_per_consent
