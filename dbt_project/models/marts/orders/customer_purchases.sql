-- Grain: one row per customer with at least one purchase known on the as-of day.
-- Cancelled and failed orders do not count; a refunded one does, with what was kept of it.
with purchases as (
    select
        customer_id,
        ordered_at,
        reporting_net_amount
    from {{ ref('orders') }}
    where
        is_purchase
        and customer_id is not null
        and ordered_at < {{ as_of_end() }}
)

select
    customer_id,
    count(*) as purchase_count,
    min(ordered_at) as first_purchased_at,
    max(ordered_at) as last_purchased_at,
    {{ latest_but_one('ordered_at') }} as previous_purchased_at,
    cast(coalesce(sum(reporting_net_amount), 0) as decimal(18, 4)) as reporting_net_amount
from purchases
group by customer_id
