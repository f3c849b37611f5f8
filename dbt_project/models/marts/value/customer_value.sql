-- Grain: one row per customer.
-- Money is net of refunds; a purchase without exchange rate is counted, never priced at zero.
with customers as (
    select customer_id from {{ ref('customers') }}
),

histories as (
    select * from {{ ref('int_purchase_histories_summarised') }}
),

purchases as (
    select * from {{ ref('int_purchases_expected') }}
),

spend as (
    select * from {{ ref('int_spend_expected') }}
),

cuts as (
    select {{ quintile_cuts('net_amount') }} as net_cuts
    from histories
    where priced_purchase_count > 0
),

scored as (
    select
        histories.*,
        {{ quintile_score('histories.net_amount', 'cuts.net_cuts') }} as net_score
    from histories
    cross join cuts
)

select
    customers.customer_id,
    coalesce(scored.purchase_count, 0) as purchase_count,
    coalesce(scored.purchase_count - scored.priced_purchase_count, 0) as unpriced_purchase_count,
    coalesce(scored.gross_amount, 0) as reporting_gross_amount,
    cast(coalesce(scored.gross_amount - scored.net_amount, 0) as decimal(18, 4))
        as reporting_refunded_amount,
    coalesce(scored.net_amount, 0) as reporting_net_amount,
    cast(
        cast(scored.net_amount as double) / nullif(scored.priced_purchase_count, 0)
        as decimal(18, 4)
    ) as average_purchase_amount,
    spend.expected_day_amount,
    {% for days in [90, 180, 365] -%}
    case
        when scored.customer_id is null then cast(0 as decimal(18, 4))
        else
            cast(
                purchases.expected_purchases_{{ days }}_days
                * cast(spend.expected_day_amount as double) as decimal(18, 4)
            )
    end as expected_value_{{ days }}_days,
    {% endfor -%}
    case
        when scored.customer_id is null then 'none'
        when scored.priced_purchase_count = 0 then 'unknown'
        when scored.net_score = 5 then 'top'
        when scored.net_score = 4 then 'high'
        when scored.net_score = 3 then 'middle'
        when scored.net_score = 2 then 'low'
        else 'lowest'
    end as value_tier,
    purchases.prediction_method,
    spend.spend_method,
    '{{ var("reporting_currency") }}' as reporting_currency_code,
    {{ as_of_date() }} as as_of_date
from customers
left join scored on customers.customer_id = scored.customer_id
left join purchases on customers.customer_id = purchases.customer_id
left join spend on customers.customer_id = spend.customer_id
