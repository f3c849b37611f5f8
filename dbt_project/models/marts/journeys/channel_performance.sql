-- Grain: one row per attribution model, month of purchase (UTC) and channel.
-- Sums of channel_attribution: over all channels of a month they are that month's net revenue.
with credits as (
    select
        attribution_model,
        cast(date_trunc('month', ordered_at) as date) as purchase_month,
        channel,
        is_touch,
        -- as decimals, so that the sum does not depend on the order of rows
        cast(credit_ratio as decimal(18, 9)) as credit,
        reporting_credited_amount
    from {{ ref('channel_attribution') }}
)

select
    attribution_model,
    purchase_month,
    channel,
    count(*) as credit_count,
    count(case when is_touch then 1 end) as touch_count,
    round(cast(sum(credit) as double), 6) as credited_purchases,
    '{{ var("reporting_currency") }}' as reporting_currency_code,
    cast(coalesce(sum(reporting_credited_amount), 0) as decimal(18, 4))
        as reporting_credited_amount
from credits
group by attribution_model, purchase_month, channel
