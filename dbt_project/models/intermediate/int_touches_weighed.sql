-- Grain: one row per purchase and touch that may have led to it; without one, the order itself.
-- A touch is asked about once, for the next purchase; time_decay counts from the last touch back.
-- In an increment only those of owners of journeys that have changed are here.
with purchases as (
    select
        order_key,
        customer_id,
        channel,
        campaign,
        ordered_at,
        currency_code,
        net_amount,
        reporting_net_amount
    from {{ ref('orders') }}
    where is_purchase and ordered_at < {{ as_of_end() }}
    {{ only_changed(journey_owner(), ref('int_journeys_changed'), 'journey_owner', 'and') }}
),

touchpoints as (
    select * from {{ ref('touchpoints') }}
    {{ only_changed('customer_id', ref('int_journeys_changed'), 'journey_owner') }}
),

conversions as (
    select
        order_key,
        customer_id,
        journey_number,
        touched_at as ordered_at
    from touchpoints
    where order_key is not null
),

touches as (
    select
        conversions.order_key,
        touchpoints.touchpoint_key,
        touchpoints.channel,
        touchpoints.campaign,
        touchpoints.touched_at,
        touchpoints.position,
        true as is_touch
    from conversions
    inner join touchpoints
        on
            conversions.customer_id = touchpoints.customer_id
            and conversions.journey_number = touchpoints.journey_number
    where
        touchpoints.is_marketing
        and touchpoints.touched_at
        >= conversions.ordered_at - {{ interval_of('attribution_window_days', 'days') }}
),

orders_themselves as (
    select
        purchases.order_key,
        'order:' || purchases.order_key as touchpoint_key,
        case when purchases.channel = 'shop' then 'direct' else purchases.channel end as channel,
        purchases.campaign,
        purchases.ordered_at as touched_at,
        1 as position,
        false as is_touch
    from purchases
    left join touches on purchases.order_key = touches.order_key
    where touches.order_key is null
),

unioned as (
    select * from touches
    union all
    select * from orders_themselves
),

counted as (
    select
        *,
        row_number() over (partition by order_key order by position asc) as touch_position,
        count(*) over (partition by order_key) as touch_count,
        max(touched_at) over (partition by order_key) as last_touched_at
    from unioned
),

decayed as (
    select
        *,
        {{ decayed_weight('touched_at', 'last_touched_at') }} as decayed_weight
    from counted
)

select
    decayed.order_key,
    decayed.touchpoint_key,
    purchases.customer_id,
    decayed.channel,
    decayed.campaign,
    decayed.touched_at,
    decayed.is_touch,
    decayed.touch_position,
    decayed.touch_count,
    decayed.decayed_weight,
    sum(decayed.decayed_weight) over (
        partition by decayed.order_key
        order by decayed.touch_position asc
        rows between unbounded preceding and current row
    ) as running_decayed_weight,
    sum(decayed.decayed_weight) over (partition by decayed.order_key) as total_decayed_weight,
    purchases.ordered_at,
    purchases.currency_code,
    purchases.net_amount,
    purchases.reporting_net_amount
from decayed
inner join purchases on decayed.order_key = purchases.order_key
