-- Grain: one row per customer id, span of months with the same records, and purchase day of these.
-- An epoch tells whose the purchases were; a purchase day may lie before, in or after it.
with records as (
    select * from {{ ref('int_record_customers_dated') }}
),

changed_customers as (
    select customer_id from records
    group by customer_id
),

purchases as (
    select
        source_record_id,
        customer_id,
        cast(ordered_at as date) as purchased_on
    from {{ ref('orders') }}
    where
        is_purchase
        and source_record_id is not null
        and ordered_at < {{ as_of_end() }}
),

-- purchases of records that never moved, by customers whose other records did
lasting as (
    select
        purchases.customer_id,
        purchases.purchased_on,
        0 as first_month,
        {{ month_number(as_of_date()) }} as last_month
    from purchases
    semi join changed_customers on purchases.customer_id = changed_customers.customer_id
    anti join records on purchases.source_record_id = records.source_record_id
),

moved as (
    select
        records.customer_id,
        purchases.purchased_on,
        records.first_month,
        records.last_month
    from purchases
    inner join records on purchases.source_record_id = records.source_record_id
),

borne as (
    select * from lasting
    union all
    select * from moved
),

bounds as (
    select
        customer_id,
        first_month as epoch_start
    from borne

    union

    select
        customer_id,
        last_month + 1 as epoch_start
    from borne
),

epochs as (
    select
        customer_id,
        epoch_start,
        coalesce(
            lead(epoch_start) over (partition by customer_id order by epoch_start asc) - 1,
            {{ month_number(as_of_date()) }}
        ) as epoch_end
    from bounds
    where epoch_start <= {{ month_number(as_of_date()) }}
)

select
    epochs.customer_id,
    epochs.epoch_start,
    epochs.epoch_end,
    borne.purchased_on
from epochs
inner join borne
    on
        epochs.customer_id = borne.customer_id
        and epochs.epoch_start >= borne.first_month
        and epochs.epoch_end <= borne.last_month
group by epochs.customer_id, epochs.epoch_start, epochs.epoch_end, borne.purchased_on
