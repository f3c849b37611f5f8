-- Grain: one row per origin and history (repeat purchase days, recency, age) as it was known then.
-- Only customers that are fitted; what they did up to the as-of day is null for origin 0.
with customers as (
    select
        customer_id,
        first_purchased_on
    from {{ ref('int_purchase_histories_summarised') }}
    where is_fitted
),

origins as (
    select * from {{ ref('int_prediction_origins_dated') }}
),

days as (
    select
        customers.customer_id,
        customers.first_purchased_on,
        purchase_days.purchased_on
    from {{ ref('int_purchase_days_summarised') }} as purchase_days
    inner join customers on purchase_days.customer_id = customers.customer_id
),

per_customer as (
    select
        origins.origin,
        origins.origin_date,
        days.customer_id,
        days.first_purchased_on,
        count(case when days.purchased_on <= origins.origin_date then 1 end) - 1 as repeat_count,
        max(case when days.purchased_on <= origins.origin_date then days.purchased_on end)
            as last_purchased_on,
        count(case when days.purchased_on > origins.origin_date then 1 end) as later_count
    from days
    inner join origins on days.first_purchased_on <= origins.origin_date
    group by origins.origin, origins.origin_date, days.customer_id, days.first_purchased_on
)

select
    origin,
    repeat_count,
    {{ days_between('first_purchased_on', 'last_purchased_on') }} as recency_days,
    {{ days_between('first_purchased_on', 'origin_date') }} as age_days,
    count(*) as customer_count,
    case when origin > 0 then count(case when later_count = 0 then 1 end) end
        as customers_without_purchase,
    case when origin > 0 then cast(sum(later_count) as bigint) end as later_purchase_count
from per_customer
group by origin, repeat_count, recency_days, age_days
