-- Grain: one row per e-mail address that somebody was seen to receive mail at.
-- Sending proves nothing; a bounce at or after the last reaction, or an undated one, undoes it.
with subscribers as (
    select
        subscriber_id,
        {{ normalise_email('email') }} as email
    from {{ ref('stg_mailing__subscribers') }}
),

events as (
    select
        subscriber_id,
        event_type = 'bounce' as is_bounce,
        occurred_at
    from {{ ref('stg_mailing__deliveries') }}
    where
        (event_type = 'bounce' or {{ shows_receipt('event_type') }})
        and (occurred_at is null or occurred_at < {{ as_of_end() }})
),

-- summed up before the address is looked up: there are many events to a subscriber
events_by_subscriber as (
    select
        subscriber_id,
        max(case when not is_bounce then occurred_at end) as last_received_at,
        max(case when is_bounce then occurred_at end) as last_bounced_at,
        bool_or(is_bounce and occurred_at is null) as has_undated_bounce
    from events
    group by subscriber_id
),

-- several subscribers may share an address
events_by_email as (
    select
        subscribers.email,
        max(events_by_subscriber.last_received_at) as last_received_at,
        max(events_by_subscriber.last_bounced_at) as last_bounced_at,
        bool_or(events_by_subscriber.has_undated_bounce) as has_undated_bounce
    from subscribers
    inner join events_by_subscriber
        on subscribers.subscriber_id = events_by_subscriber.subscriber_id
    where subscribers.email is not null
    group by subscribers.email
)

select
    email,
    last_received_at as verified_at
from events_by_email
where
    last_received_at is not null
    and not has_undated_bounce
    and (last_bounced_at is null or last_bounced_at < last_received_at)
