-- Grain: one row per suppression.
-- A suppression names an address, and holds for whoever has it, whatever they agreed to.
with newest_per_suppression as (
    {{ newest_versions(source('mailing', 'suppressions'), key='suppression_id') }}
),

typed as (
    select
        suppression_id,
        email,
        phone,
        lower(trim(reason)) as reason,
        {{ utc('occurred_at') }} as occurred_at,
        _loaded_at,
        _source_file,
        _row_hash
    from newest_per_suppression
)

select * from typed
