-- Grain: one row per customer with a purchase known on the as-of day.
-- Everything counts purchase days: a repeat is a later day, and the first day is no repeat.
with days as (
    select * from {{ ref('int_purchase_days_summarised') }}
),

summarised as (
    select
        customer_id,
        count(*) - 1 as repeat_count,
        min(purchased_on) as first_purchased_on,
        max(purchased_on) as last_purchased_on,
        max(previous_purchased_on) as previous_purchased_on,
        {{ median_of(days_between('previous_purchased_on', 'purchased_on')) }} as median_gap_days,
        sum(purchase_count) as purchase_count,
        sum(priced_purchase_count) as priced_purchase_count,
        sum(gross_amount) as gross_amount,
        sum(net_amount) as net_amount,
        sum(case when previous_purchased_on is not null then net_amount end) as repeat_net_amount,
        count(case when previous_purchased_on is not null then net_amount end)
            as priced_repeat_count,
        min(day_key) as smallest_day_key
    from days
    group by customer_id
),

keyed as (
    select
        *,
        -- hashed again: a minimum is small because there are many days
        {{ hash_of(['smallest_day_key', 1]) }} as customer_key
    from summarised
)

select
    customer_id,
    repeat_count,
    first_purchased_on,
    last_purchased_on,
    {{ days_between('first_purchased_on', 'last_purchased_on') }} as recency_days,
    {{ days_between('first_purchased_on', as_of_date()) }} as age_days,
    {{ days_between('last_purchased_on', as_of_date()) }} as days_since_last_purchase,
    round(
        {{ days_between('first_purchased_on', 'last_purchased_on') }}
        / nullif(cast(repeat_count as double), 0),
        6
    ) as mean_gap_days,
    median_gap_days,
    {{ days_between('previous_purchased_on', 'last_purchased_on') }} as last_gap_days,
    cast(purchase_count as bigint) as purchase_count,
    cast(priced_purchase_count as bigint) as priced_purchase_count,
    cast(coalesce(gross_amount, 0) as decimal(18, 4)) as gross_amount,
    cast(coalesce(net_amount, 0) as decimal(18, 4)) as net_amount,
    priced_repeat_count,
    cast(
        cast(repeat_net_amount as double) / nullif(priced_repeat_count, 0) as decimal(18, 4)
    ) as mean_repeat_amount,
    -- no customer id decides who is among them: an id is this installation's, an order is not
    row_number() over (
        order by customer_key asc, first_purchased_on asc, repeat_count asc, customer_id asc
    ) <= {{ var('most_fitted_customers') }} as is_fitted
from keyed
