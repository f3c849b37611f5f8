-- Grain: one row per web event.
-- `account_id` is filled only while somebody was logged in.
with newest_per_event as (
    {{ newest_versions(source('web', 'events'), key='event_id') }}
),

typed as (
    select
        event_id,
        anonymous_id,
        user_id as account_id,
        session_id,
        lower(trim(event_type)) as event_type,
        page_url,
        referrer,
        utm_source,
        utm_medium,
        utm_campaign,
        product_id,
        order_id,
        {{ utc('occurred_at') }} as occurred_at,
        _loaded_at,
        _source_file,
        _row_hash
    from newest_per_event
)

select * from typed
