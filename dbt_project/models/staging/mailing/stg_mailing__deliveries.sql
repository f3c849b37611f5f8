-- Grain: one row per delivery event.
-- An unsubscribe is a delivery event too; consent reads it as a withdrawal.
with newest_per_delivery as (
    {{ newest_versions(source('mailing', 'deliveries'), key='delivery_id') }}
),

typed as (
    select
        'mailing:' || subscriber_id as source_record_id,
        delivery_id,
        subscriber_id,
        campaign,
        lower(trim(event_type)) as event_type,
        {{ utc('occurred_at') }} as occurred_at,
        _loaded_at,
        _source_file,
        _row_hash
    from newest_per_delivery
)

select * from typed
