-- Grain: one row per customer and journey: the touches up to a purchase, or since the last one.
-- A purchase without any touch before it is a journey too, and begins when it ends.
{{ config(
    materialized='incremental',
    incremental_strategy='replace_changed',
    on_schema_change='fail',
    meta={'replaces': {
        'key': 'customer_id',
        'changed': 'int_journeys_changed',
        'changed_key': 'journey_owner',
    }},
) }}

with touchpoints as (
    select * from {{ ref('touchpoints') }}
    {{ only_changed('customer_id', ref('int_journeys_changed'), 'journey_owner') }}
),

carts as (
    select
        customer_id,
        max(last_carted_at) as last_carted_at
    from {{ ref('sessions') }}
    where customer_id is not null
    {{ only_changed('customer_id', ref('int_journeys_changed'), 'journey_owner', 'and') }}
    group by customer_id
),

last_purchases as (
    select
        customer_id,
        max(touched_at) as last_purchased_at
    from touchpoints
    where order_key is not null
    group by customer_id
),

journeys as (
    select
        customer_id,
        journey_number,
        min(touched_at) as started_at,
        max(touched_at) as ended_at,
        any_value(order_key) as order_key,
        count(*) - count(order_key) as touch_count,
        count(*) filter (where touch_type = 'session') as session_count,
        count(*) filter (where touch_type in ('mail_open', 'mail_click')) as mail_count,
        count(*) filter (where touch_type = 'ticket') as ticket_count,
        count(*) filter (where touch_type = 'survey') as survey_count,
        min_by(channel, position) filter (where order_key is null) as first_channel,
        max_by(channel, position) filter (where order_key is null) as last_channel,
        max_by(channel, position) as path_end,
        count(*) filter (where is_step) as step_count
    from touchpoints
    group by customer_id, journey_number
),

-- Texts in order cost more than all the rest, and nine in ten journeys have one step or two.
long_journeys as (
    select
        customer_id,
        journey_number,
        step_count
    from journeys
    where step_count > 2
),

steps as (
    select
        touchpoints.customer_id,
        touchpoints.journey_number,
        touchpoints.channel,
        long_journeys.step_count,
        row_number() over (
            partition by touchpoints.customer_id, touchpoints.journey_number
            order by touchpoints.position asc
        ) as step
    from touchpoints
    inner join long_journeys
        on
            touchpoints.customer_id = long_journeys.customer_id
            and touchpoints.journey_number = long_journeys.journey_number
    where touchpoints.is_step
),

paths as (
    select
        customer_id,
        journey_number,
        string_agg(channel, ' > ' order by step asc) as path
    from steps
    where
        step_count <= {{ journey_path_steps() }}
        or step < {{ journey_path_steps() }} - 1
    group by customer_id, journey_number
),

-- a cart that a purchase followed is none of an open journey
carted as (
    select
        journeys.*,
        paths.path,
        case
            when
                journeys.order_key is null
                and (
                    last_purchases.last_purchased_at is null
                    or carts.last_carted_at > last_purchases.last_purchased_at
                )
                then carts.last_carted_at
        end as last_carted_at
    from journeys
    left join paths
        on
            journeys.customer_id = paths.customer_id
            and journeys.journey_number = paths.journey_number
    left join carts on journeys.customer_id = carts.customer_id
    left join last_purchases on journeys.customer_id = last_purchases.customer_id
)

select
    customer_id,
    journey_number,
    started_at,
    ended_at,
    case
        when order_key is not null then 'purchased'
        when {{ is_cart_abandoned('last_carted_at') }} then 'abandoned_cart'
        when last_carted_at is not null or {{ is_journey_awake('ended_at') }} then 'open'
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
        when step_count = 1 then path_end
        when step_count = 2 then first_channel || ' > ' || path_end
        when step_count <= {{ journey_path_steps() }} then path
        else path || ' > ... > ' || path_end
    end as channel_path,
    order_key,
    order_key is not null and journey_number = 1 as is_first_purchase,
    case when order_key is not null then {{ seconds_between('started_at', 'ended_at') }} end
        as seconds_to_purchase,
    last_carted_at
from carted
