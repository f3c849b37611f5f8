-- Grain: one row per customer and journey: the touches up to a purchase, or since the last one.
-- A purchase without any touch before it is a journey too, and begins when it ends.
with touchpoints as (
    select * from {{ ref('touchpoints') }}
),

carts as (
    select
        customer_id,
        max(last_carted_at) as last_carted_at
    from {{ ref('sessions') }}
    where customer_id is not null
    group by customer_id
),

compared as (
    select
        *,
        lag(channel) over (
            partition by customer_id, journey_number
            order by position asc
        ) as previous_channel
    from touchpoints
),

stepped as (
    select
        *,
        coalesce(channel <> previous_channel, true) as is_step,
        count(case when coalesce(channel <> previous_channel, true) then 1 end) over (
            partition by customer_id, journey_number
            order by position asc
            rows between unbounded preceding and current row
        ) as step
    from compared
),

journeys as (
    select
        customer_id,
        journey_number,
        min(touched_at) as started_at,
        max(touched_at) as ended_at,
        max(order_key) as order_key,
        count(*) - count(order_key) as touch_count,
        count(case when touch_type = 'session' then 1 end) as session_count,
        count(case when touch_type in ('mail_open', 'mail_click') then 1 end) as mail_count,
        count(case when touch_type = 'ticket' then 1 end) as ticket_count,
        count(case when touch_type = 'survey' then 1 end) as survey_count,
        min_by(channel, position) filter (where order_key is null) as first_channel,
        max_by(channel, position) filter (where order_key is null) as last_channel,
        max_by(channel, position) as path_end,
        string_agg(channel, ' > ' order by position asc) filter (
            where is_step and step <= {{ var('journey_path_steps') }}
        ) as path,
        string_agg(channel, ' > ' order by position asc) filter (
            where is_step and step < {{ var('journey_path_steps') }} - 1
        ) as path_start,
        max(step) as step_count
    from stepped
    group by customer_id, journey_number
),

previous_purchases as (
    select
        *,
        lag(ended_at) over (partition by customer_id order by journey_number asc)
            as previous_purchased_at
    from journeys
),

-- a cart that a purchase followed is none of an open journey
carted as (
    select
        previous_purchases.*,
        case
            when
                previous_purchases.order_key is null
                and (
                    previous_purchases.previous_purchased_at is null
                    or carts.last_carted_at > previous_purchases.previous_purchased_at
                )
                then carts.last_carted_at
        end as last_carted_at
    from previous_purchases
    left join carts on previous_purchases.customer_id = carts.customer_id
)

select
    customer_id,
    journey_number,
    started_at,
    ended_at,
    case
        when order_key is not null then 'purchased'
        when last_carted_at + {{ interval_of('abandoned_cart_hours', 'hours') }} < {{ as_of_end() }}
            then 'abandoned_cart'
        when
            last_carted_at is not null
            or ended_at + {{ interval_of('attribution_window_days', 'days') }} >= {{ as_of_end() }}
            then 'open'
        else 'dormant'
    end as outcome,
    touch_count,
    session_count,
    mail_count,
    ticket_count,
    survey_count,
    first_channel,
    last_channel,
    case
        when step_count <= {{ var('journey_path_steps') }} then path
        else path_start || ' > ... > ' || path_end
    end as channel_path,
    order_key,
    order_key is not null and journey_number = 1 as is_first_purchase,
    case when order_key is not null then {{ seconds_between('started_at', 'ended_at') }} end
        as seconds_to_purchase,
    last_carted_at
from carted
