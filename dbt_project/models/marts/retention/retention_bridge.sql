-- Grain: one row per calendar month with purchases before its end, up to the as-of day.
-- What identity merged or split is told apart first; then purchases and their absence move people.
with spans as (
    select * from {{ ref('int_retained_spans_measured') }}
),

entries as (
    select
        first_month as month_number,
        count(case when first_purchase_month = first_month then 1 end) as new_count,
        count(case when first_purchase_month < first_month then 1 end) as reactivated_count
    from spans
    where first_month between epoch_start and epoch_end
    group by first_month
),

exits as (
    select
        last_month + 1 as month_number,
        count(*) as lapsed_count
    from spans
    where
        last_month + 1 between epoch_start and epoch_end
    group by last_month
),

-- in at the end of the month before, by the records that the id had then, and has now
before_change as (
    select
        customer_id,
        epoch_end + 1 as month_number
    from spans
    where
        epoch_end between first_month and last_month
        and epoch_end < {{ month_number(as_of_date()) }}
),

after_change as (
    select
        customer_id,
        epoch_start as month_number
    from spans
    where epoch_start > 0 and epoch_start - 1 between first_month and last_month
),

changes as (
    select
        coalesce(before_change.month_number, after_change.month_number) as month_number,
        count(case when before_change.customer_id is null then 1 end)
            as gained_by_identity_count,
        count(case when after_change.customer_id is null then 1 end) as lost_by_identity_count
    from before_change
    full join after_change
        on
            before_change.customer_id = after_change.customer_id
            and before_change.month_number = after_change.month_number
    group by coalesce(before_change.month_number, after_change.month_number)
),

moved as (
    select month_number from changes
    union all
    select month_number from entries
    union all
    select month_number from exits
),

earliest as (
    select
        min(month_number) as month_number,
        {{ month_number(as_of_date()) }} - min(month_number) as month_count
    from moved
),

months as (
    select earliest.month_number + numbers.number as month_number
    from earliest
    cross join {{ numbers_up_to('(select earliest.month_count from earliest)') }} as numbers
),

flows as (
    select
        months.month_number,
        coalesce(changes.gained_by_identity_count, 0) as gained_by_identity_count,
        coalesce(changes.lost_by_identity_count, 0) as lost_by_identity_count,
        coalesce(entries.new_count, 0) as new_count,
        coalesce(entries.reactivated_count, 0) as reactivated_count,
        coalesce(exits.lapsed_count, 0) as lapsed_count
    from months
    left join changes on months.month_number = changes.month_number
    left join entries on months.month_number = entries.month_number
    left join exits on months.month_number = exits.month_number
),

balanced as (
    select
        *,
        cast(
            sum(
                gained_by_identity_count - lost_by_identity_count
                + new_count + reactivated_count - lapsed_count
            ) over (order by month_number asc) as bigint
        ) as closing_count
    from flows
)

select
    {{ month_of_number('month_number') }} as month_start,
    coalesce(lag(closing_count) over (order by month_number asc), 0) as opening_count,
    gained_by_identity_count,
    lost_by_identity_count,
    new_count,
    reactivated_count,
    lapsed_count,
    closing_count - new_count - reactivated_count as retained_count,
    closing_count,
    {{ plus_periods('month', month_of_number('month_number'), 1) }}
    <= {{ plus_days(as_of_date(), 1) }} as is_complete
from balanced
