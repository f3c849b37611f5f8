-- Grain: one row per contact of a customer with us, up to the as-of day.
-- An increment replaces all touches of a customer: each one moves those after it.
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

with touches as (
    select * from {{ ref('int_touches_gathered') }}
    {{ only_changed('customer_id', ref('int_journeys_changed'), 'journey_owner') }}
),

followed as (
    select
        *,
        row_number() over in_time as position,
        count(order_key) over in_time as purchase_count,
        lag(order_key) over in_time as previous_order_key,
        lag(channel) over in_time as previous_channel
    from touches
    window in_time as (
        partition by customer_id
        -- whatever happened at the instant of a purchase came before it
        order by touched_at asc, order_key asc nulls first, touchpoint_key asc
        rows between unbounded preceding and current row
    )
)

select
    touchpoint_key,
    customer_id,
    touched_at,
    touch_type,
    channel,
    campaign,
    order_key,
    touch_type in ('session', 'mail_open', 'mail_click') as is_marketing,
    position,
    -- a purchase is the end of its journey
    1 + purchase_count - cast(order_key is not null as bigint) as journey_number,
    coalesce(previous_order_key is not null or channel <> previous_channel, true) as is_step
from followed
