-- Grain: one row per contact of a customer with us, up to the as-of day.
-- What a customer did counts: a mail that was only sent, and an order that was no purchase, do not.
{{ config(materialized='view') }}

with sessions as (
    select
        'session:' || session_key as touchpoint_key,
        customer_id,
        started_at as touched_at,
        'session' as touch_type,
        channel,
        utm_campaign as campaign,
        null as order_key
    from {{ ref('sessions') }}
    where customer_id is not null
),

deliveries as (
    select
        'delivery:' || delivery_id as touchpoint_key,
        source_record_id,
        occurred_at as touched_at,
        case when {{ is_mail_click('event_type') }} then 'mail_click' else 'mail_open' end
            as touch_type,
        'email' as channel,
        campaign
    from {{ ref('stg_mailing__deliveries') }}
    where {{ is_mail_click('event_type') }} or {{ is_mail_open('event_type') }}
),

tickets as (
    select
        'ticket:' || ticket_id as touchpoint_key,
        source_record_id,
        opened_at as touched_at,
        'ticket' as touch_type,
        'support' as channel,
        null as campaign
    from {{ ref('stg_support__tickets') }}
),

responses as (
    select
        'response:' || response_id as touchpoint_key,
        source_record_id,
        responded_at as touched_at,
        'survey' as touch_type,
        'survey' as channel,
        null as campaign
    from {{ ref('stg_surveys__responses') }}
),

sources as (
    select
        source_record_id,
        customer_id
    from {{ ref('int_customer_sources_resolved') }}
),

purchases as (
    select
        'order:' || order_key as touchpoint_key,
        customer_id,
        ordered_at as touched_at,
        'purchase' as touch_type,
        channel,
        campaign,
        order_key
    from {{ ref('orders') }}
    where is_purchase and customer_id is not null
),

of_records as (
    select * from deliveries
    union all
    select * from tickets
    union all
    select * from responses
),

touches as (
    select * from sessions
    union all
    select
        of_records.touchpoint_key,
        sources.customer_id,
        of_records.touched_at,
        of_records.touch_type,
        of_records.channel,
        of_records.campaign,
        null as order_key
    from of_records
    inner join sources on of_records.source_record_id = sources.source_record_id
    union all
    select * from purchases
)

select
    touchpoint_key,
    customer_id,
    touched_at,
    touch_type,
    channel,
    campaign,
    order_key
from touches
where touched_at < {{ as_of_end() }}
