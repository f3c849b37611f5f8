-- Grain: one row per web shop order or till receipt.
-- All money landed is here, also anonymous receipts (no customer) and orders that were no purchase.
with shop_orders as (
    select * from {{ ref('stg_shop__orders') }}
),

receipts as (
    select * from {{ ref('stg_pos__receipts') }}
),

lines_per_order as (
    select
        order_key,
        count(*) as line_count
    from {{ ref('stg_shop__order_lines') }}
    group by order_key
),

order_statuses as (
    select * from {{ ref('order_statuses') }}
),

exchange_rates as (
    select * from {{ ref('int_exchange_rates_dated') }}
),

sources as (
    select
        source_record_id,
        customer_id
    from {{ ref('int_customer_sources_resolved') }}
),

unioned as (
    select
        shop_orders.order_key,
        'shop' as channel,
        shop_orders.source_record_id,
        shop_orders.source_record_id is not null and shop_orders.account_id is null
            as is_guest_order,
        shop_orders.ordered_at,
        shop_orders.status,
        coalesce(order_statuses.is_purchase, true) as is_purchase,
        shop_orders.currency_code,
        shop_orders.total_amount,
        shop_orders.discount_amount,
        shop_orders.refunded_amount,
        coalesce(lines_per_order.line_count, 0) as line_count,
        shop_orders.campaign,
        null as store_id
    from shop_orders
    left join order_statuses on shop_orders.status = order_statuses.status
    left join lines_per_order on shop_orders.order_key = lines_per_order.order_key

    union all

    select
        order_key,
        'pos' as channel,
        source_record_id,
        false as is_guest_order,
        purchased_at as ordered_at,
        'completed' as status,
        true as is_purchase,
        currency_code,
        total_amount,
        null as discount_amount,
        refunded_amount,
        0 as line_count,
        null as campaign,
        store_id
    from receipts
),

dated as (
    select
        *,
        -- an order without a date is priced as if it were today's
        coalesce(cast(ordered_at as date), {{ as_of_date() }}) as priced_on
    from unioned
),

priced as (
    select
        dated.*,
        sources.customer_id,
        dated.total_amount - coalesce(dated.refunded_amount, 0) as net_amount,
        exchange_rates.exchange_rate
    from dated
    left join sources on dated.source_record_id = sources.source_record_id
    left join exchange_rates
        on
            dated.currency_code = exchange_rates.currency_code
            and dated.priced_on >= exchange_rates.valid_from
            and dated.priced_on < exchange_rates.valid_until
)

select
    order_key,
    customer_id,
    source_record_id,
    channel,
    ordered_at,
    status,
    is_purchase,
    is_purchase and coalesce(ordered_at < {{ as_of_end() }}, false) as is_counted,
    is_guest_order,
    currency_code,
    total_amount,
    discount_amount,
    refunded_amount,
    cast(net_amount as decimal(18, 4)) as net_amount,
    '{{ var("reporting_currency") }}' as reporting_currency_code,
    exchange_rate,
    cast(total_amount * exchange_rate as decimal(18, 4)) as reporting_total_amount,
    cast(net_amount * exchange_rate as decimal(18, 4)) as reporting_net_amount,
    line_count,
    campaign,
    store_id
from priced
