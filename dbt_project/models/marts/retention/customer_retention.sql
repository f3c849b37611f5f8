-- Grain: one row per customer; exactly one of the four states holds for whoever has bought.
-- Thresholds are whole days and belong to the better state: day 180 is not yet lapsed.
with customers as (
    select customer_id from {{ ref('customers') }}
),

purchases as (
    select * from {{ ref('customer_purchases') }}
),

rhythms as (
    select * from {{ ref('int_purchase_rhythms_measured') }}
),

predictions as (
    select * from {{ ref('int_purchases_expected') }}
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
    flagged.customer_id,
    flagged.has_bought_recently and not flagged.has_come_back as is_active,
    flagged.purchase_count > 0 and not flagged.has_bought_recently and not flagged.is_lapsed
        as is_at_risk,
    flagged.is_lapsed,
    flagged.has_bought_recently and flagged.has_come_back as is_reactivated,
    flagged.purchase_count,
    flagged.first_purchased_at,
    flagged.last_purchased_at,
    flagged.days_since_last_purchase,
    flagged.last_gap_days,
    rhythms.expected_gap_days,
    rhythms.overdue_days,
    coalesce(rhythms.overdue_days > 0, false) as is_overdue,
    predictions.alive_probability,
    predictions.churn_probability,
    predictions.churn_horizon_days,
    predictions.expected_purchases_90_days,
    predictions.expected_purchases_180_days,
    predictions.expected_purchases_365_days,
    predictions.prediction_method,
    {{ as_of_date() }} as as_of_date
from flagged
left join rhythms on flagged.customer_id = rhythms.customer_id
left join predictions on flagged.customer_id = predictions.customer_id
