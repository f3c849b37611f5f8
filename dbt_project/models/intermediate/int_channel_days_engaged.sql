-- Grain: one row per customer, channel and calendar day (UTC) on which the customer did something.
-- Opening or clicking a mail is engagement, receiving one is not; undated events belong to no day.
with sources as (
    select
        source_record_id,
        customer_id
    from {{ ref('int_customer_sources_resolved') }}
),

deliveries as (
    select
        source_record_id,
        occurred_at
    from {{ ref('stg_mailing__deliveries') }}
    where event_type in ('open', 'opened', 'click', 'clicked')
),

events as (
    select
        -- who is logged in counts, not whom the device is known for
        case
            when account_id is not null then 'shop:' || account_id
            else 'web:' || anonymous_id
        end as source_record_id,
        occurred_at
    from {{ ref('stg_web__events') }}
),

tickets as (
    select
        source_record_id,
        opened_at
    from {{ ref('stg_support__tickets') }}
),

orders as (
    select
        customer_id,
        channel,
        ordered_at
    from {{ ref('orders') }}
    where is_purchase and customer_id is not null
),

recorded as (
    select
        source_record_id,
        'mail' as channel,
        occurred_at
    from deliveries

    union all

    select
        source_record_id,
        'web' as channel,
        occurred_at
    from events

    union all

    select
        source_record_id,
        'support' as channel,
        opened_at as occurred_at
    from tickets
),

unioned as (
    select
        sources.customer_id,
        recorded.channel,
        recorded.occurred_at
    from recorded
    inner join sources on recorded.source_record_id = sources.source_record_id

    union all

    select
        customer_id,
        channel,
        ordered_at as occurred_at
    from orders
)

select
    customer_id,
    channel,
    cast(occurred_at as date) as engaged_on,
    count(*) as event_count,
    max(occurred_at) as last_engaged_at
from unioned
where occurred_at < {{ as_of_end() }}
group by customer_id, channel, cast(occurred_at as date)
