-- Grain: one row per purchase up to the as-of day, model and touch with a share in it.
-- The credits of an order add up to its net amount; without a touch the order has them itself.
with touches as (
    select * from {{ ref('int_touches_weighed') }}
),

weighed as (
    {% for model in attribution_models() %}
    select
        touches.*,
        '{{ model.name }}' as attribution_model,
        {{ model.weight }} as weight,
        {{ model.running }} as running_weight,
        {{ model.total }} as total_weight
    from touches
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

credited as (
    select
        *,
        {{ credited_amount('net_amount') }} as credited_amount,
        {{ credited_amount('reporting_net_amount') }} as reporting_credited_amount
    from weighed
    where weight > 0
)

select
    order_key,
    attribution_model,
    touchpoint_key,
    touch_position,
    touch_count,
    is_touch,
    channel,
    campaign,
    touched_at,
    ordered_at,
    cast(weight as double) / cast(total_weight as double) as credit_ratio,
    currency_code,
    credited_amount,
    '{{ var("reporting_currency") }}' as reporting_currency_code,
    reporting_credited_amount
from credited
