-- Grain: one row per customer id, epoch and run of months at whose ends the customer is retained.
-- Months between two purchases need no rows of their own: a run begins where no purchase before it
-- reaches the month before.
with epochs as (
    select
        customer_id,
        epoch_start,
        epoch_end,
        purchased_on,
        lag(purchased_on) over (
            partition by customer_id, epoch_start
            order by purchased_on asc
        ) as previous_purchased_on
    from {{ ref('int_customer_epochs_dated') }}
),

changed_customers as (
    select customer_id from {{ ref('int_record_customers_dated') }}
    group by customer_id
),

days as (
    select
        purchase_days.customer_id,
        0 as epoch_start,
        {{ month_number(as_of_date()) }} as epoch_end,
        purchase_days.purchased_on,
        purchase_days.previous_purchased_on
    from {{ ref('int_purchase_days_summarised') }} as purchase_days
    anti join changed_customers on purchase_days.customer_id = changed_customers.customer_id

    union all

    select * from epochs
),

thresholds as (
    select max(case when threshold = 'lapsed' then days end) as lapsed_days
    from {{ ref('lifecycle_thresholds') }}
),

reached as (
    select
        days.*,
        thresholds.lapsed_days,
        {{ plus_days('days.previous_purchased_on', 'thresholds.lapsed_days') }} as reached_on
    from days
    cross join thresholds
),

begun as (
    select * from reached
    where
        previous_purchased_on is null
        or {{ month_number('purchased_on') }} > {{ last_month_ended_by('reached_on') }} + 1
),

ends as (
    select
        customer_id,
        epoch_start,
        min(purchased_on) as first_purchased_on,
        max(purchased_on) as last_purchased_on
    from days
    group by customer_id, epoch_start
),

runs as (
    select
        begun.customer_id,
        begun.epoch_start,
        begun.epoch_end,
        {{ month_number('ends.first_purchased_on') }} as first_purchase_month,
        {{ month_number('begun.purchased_on') }} as first_month,
        coalesce(
            lead(begun.previous_purchased_on) over (
                partition by begun.customer_id, begun.epoch_start
                order by begun.purchased_on asc
            ),
            ends.last_purchased_on
        ) as last_purchased_on,
        begun.lapsed_days
    from begun
    inner join ends
        on begun.customer_id = ends.customer_id and begun.epoch_start = ends.epoch_start
),

measured as (
    select
        customer_id,
        epoch_start,
        epoch_end,
        first_purchase_month,
        first_month,
        {{ last_month_ended_by(plus_days('last_purchased_on', 'lapsed_days')) }} as last_month
    from runs
)

select * from measured
-- a purchase that lapses before its month is over is retained at no month's end
where first_month <= last_month
