-- Grain: one row per customer; exactly one of the four states holds for whoever has bought.
-- Thresholds are whole days and belong to the better state: day 180 is not yet lapsed.
with customers as (
    select customer_id from {{ ref('customers') }}
),

purchases as (
    select * from {{ ref('customer_purchases') }}
),

thresholds as (
    select
        max(case when threshold = 'active' then days end) as active_days,
        max(case when threshold = 'lapsed' then days end) as lapsed_days,
        max(case when threshold = 'reactivation_gap' then days end) as reactivation_gap_days
    from {{ ref('lifecycle_thresholds') }}
),

measured as (
    select
        customers.customer_id,
        purchases.first_purchased_at,
        purchases.last_purchased_at,
        purchases.purchase_count,
        {{ days_before_as_of('purchases.last_purchased_at') }} as days_since_last_purchase,
        date_diff(
            'day',
            cast(purchases.previous_purchased_at as date),
            cast(purchases.last_purchased_at as date)
        ) as last_gap_days,
        thresholds.*
    from customers
    left join purchases on customers.customer_id = purchases.customer_id
    cross join thresholds
),

flagged as (
    select
        customer_id,
        first_purchased_at,
        last_purchased_at,
        coalesce(purchase_count, 0) as purchase_count,
        days_since_last_purchase,
        last_gap_days,
        coalesce(days_since_last_purchase <= active_days, false) as has_bought_recently,
        coalesce(last_gap_days > reactivation_gap_days, false) as has_come_back,
        coalesce(days_since_last_purchase > lapsed_days, false) as is_lapsed
    from measured
)

select
    customer_id,
    has_bought_recently and not has_come_back as is_active,
    purchase_count > 0 and not has_bought_recently and not is_lapsed as is_at_risk,
    is_lapsed,
    has_bought_recently and has_come_back as is_reactivated,
    purchase_count,
    first_purchased_at,
    last_purchased_at,
    days_since_last_purchase,
    last_gap_days,
    {{ as_of_date() }} as as_of_date
from flagged
