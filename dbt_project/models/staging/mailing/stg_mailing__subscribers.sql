-- Grain: one row per subscriber.
-- A subscription is not consent; consent comes only from consent events.
with newest_per_subscriber as (
    {{ newest_versions(
        source('mailing', 'subscribers'), key='subscriber_id', cursor='updated_at'
    ) }}
),

typed as (
    select
        'mailing:' || subscriber_id as source_record_id,
        subscriber_id,
        email,
        first_name,
        last_name,
        {{ utc('subscribed_at') }} as subscribed_at,
        {{ utc('updated_at') }} as updated_at,
        _loaded_at,
        _source_file,
        _row_hash
    from newest_per_subscriber
)

select * from typed
