-- Grain: one row per line of a web shop order; receipts have no lines.
-- A line whose order never landed keeps its row: it has no customer, no day and no currency.
with lines as (
    select * from {{ ref('stg_shop__order_lines') }}
),

orders as (
    select
        order_key,
        customer_id,
        ordered_at,
        is_purchase,
        currency_code,
        reporting_currency_code,
        exchange_rate
    from {{ ref('orders') }}
    where channel = 'shop'
),

valued as (
    select
        *,
        cast(quantity * unit_price_amount as decimal(18, 4)) as line_amount
    from lines
)

select
    valued.order_key || ':' || valued.line_number as order_line_key,
    valued.order_key,
    orders.customer_id,
    valued.line_number,
    orders.ordered_at,
    coalesce(orders.is_purchase, false) as is_purchase,
    valued.product_id,
    valued.product_name,
    valued.category,
    valued.quantity,
    orders.currency_code,
    valued.unit_price_amount,
    valued.line_amount,
    orders.reporting_currency_code,
    cast(valued.line_amount * orders.exchange_rate as decimal(18, 4)) as reporting_line_amount
from valued
left join orders on valued.order_key = orders.order_key
