-- Grain: one row per customer and calendar day (UTC) with a purchase known on the as-of day.
-- Several purchases on one day are one occasion; an amount without exchange rate is counted apart.
{{ config(
    materialized='incremental',
    incremental_strategy='replace_changed',
    meta={'replaces': {
        'key': 'customer_id',
        'changed': 'int_journeys_changed',
        'changed_key': 'journey_owner',
    }},
) }}

with purchases as (
    select
        customer_id,
        order_key,
        cast(ordered_at as date) as purchased_on,
        reporting_total_amount,
        reporting_net_amount
    from {{ ref('orders') }}
    where is_purchase and customer_id is not null and ordered_at < {{ as_of_end() }}
    {{ only_changed('customer_id', ref('int_journeys_changed'), 'journey_owner', 'and') }}
),

days as (
    select
        customer_id,
        purchased_on,
        count(*) as purchase_count,
        count(reporting_net_amount) as priced_purchase_count,
        cast(sum(reporting_total_amount) as decimal(18, 4)) as gross_amount,
        cast(sum(reporting_net_amount) as decimal(18, 4)) as net_amount,
        -- names the day whatever the customer ids of this installation are
        min({{ hash_of(['order_key']) }}) as day_key
    from purchases
    group by customer_id, purchased_on
)

select
    customer_id,
    purchased_on,
    lag(purchased_on) over (
        partition by customer_id
        order by purchased_on asc
    ) as previous_purchased_on,
    min(purchased_on) over (partition by customer_id) as first_purchased_on,
    purchase_count,
    priced_purchase_count,
    gross_amount,
    net_amount,
    day_key
from days
