-- Grain: one row per customer and channel in which the customer ever did something.
-- The highest level of seed engagement_levels that holds; none when it was too long ago.
with days_engaged as (
    select
        *,
        {{ days_before_as_of('engaged_on') }} as days_ago
    from {{ ref('int_channel_days_engaged') }}
),

engagement_levels as (
    select * from {{ ref('engagement_levels') }}
),

levels_reached as (
    select
        days_engaged.customer_id,
        days_engaged.channel,
        engagement_levels.level
    from days_engaged
    inner join engagement_levels
        on
            days_engaged.channel = engagement_levels.channel
            and days_engaged.days_ago <= engagement_levels.within_days
    group by
        days_engaged.customer_id,
        days_engaged.channel,
        engagement_levels.level,
        engagement_levels.min_days
    having count(*) >= engagement_levels.min_days
),

highest_levels as (
    select
        customer_id,
        channel,
        max(case level when 'high' then 3 when 'medium' then 2 when 'low' then 1 end) as place
    from levels_reached
    group by customer_id, channel
),

last_days as (
    select
        customer_id,
        channel,
        max(last_engaged_at) as last_engaged_at
    from days_engaged
    group by customer_id, channel
)

select
    last_days.customer_id,
    last_days.channel,
    case highest_levels.place
        when 3 then 'high'
        when 2 then 'medium'
        when 1 then 'low'
        else 'none'
    end as level,
    last_days.last_engaged_at
from last_days
left join highest_levels
    on
        last_days.customer_id = highest_levels.customer_id
        and last_days.channel = highest_levels.channel
