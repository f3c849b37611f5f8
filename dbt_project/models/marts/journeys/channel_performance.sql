-- Grain: one row per attribution model, month of purchase (UTC) and channel.
-- Sums of channel_attribution: over all channels of a month they are that month's net revenue.
with credits as (
    select
        *,
        {{ month_of('ordered_at') }} as purchase_month
    from {{ ref('channel_attribution') }}
),

summed as (
    select
        {% for model in attribution_models() %}
        count(*) filter (where {{ model.name }}_ratio > 0) as {{ model.name }}_count,
        count(*) filter (where is_touch and {{ model.name }}_ratio > 0)
            as {{ model.name }}_touch_count,
        -- as decimals, so that the sum does not depend on the order of rows
        sum(cast({{ model.name }}_ratio as decimal(18, 9))) as {{ model.name }}_purchases,
        sum({{ model.name }}_reporting_amount) as {{ model.name }}_reporting_amount,
        {% endfor %}
        purchase_month,
        channel
    from credits
    group by purchase_month, channel
),

by_model as (
    {% for model in attribution_models() %}
    select
        '{{ model.name }}' as attribution_model,
        purchase_month,
        channel,
        {{ model.name }}_count as credit_count,
        {{ model.name }}_touch_count as touch_count,
        {{ model.name }}_purchases as credited_purchases,
        {{ model.name }}_reporting_amount as reporting_credited_amount
    from summed
    where {{ model.name }}_count > 0
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
)

select
    attribution_model,
    purchase_month,
    channel,
    credit_count,
    touch_count,
    round(cast(credited_purchases as double), 6) as credited_purchases,
    '{{ var("reporting_currency") }}' as reporting_currency_code,
    cast(coalesce(reporting_credited_amount, 0) as decimal(18, 4)) as reporting_credited_amount
from by_model
