{%- set period = var('cohort_period') -%}
-- Grain: one row per cohort (period of the first purchase) and period since then.
-- A period in which nobody came back is a row with zeros; none begins after the as-of day.
with days as (
    select
        {{ period_start(period, 'first_purchased_on') }} as cohort_start,
        {{ period_start(period, 'purchased_on') }} as period_start,
        -- the customer's first day in the period stands for the customer
        coalesce(
            {{ period_start(period, 'previous_purchased_on') }}
            < {{ period_start(period, 'purchased_on') }},
            true
        ) as is_first_day,
        purchase_count,
        net_amount
    from {{ ref('int_purchase_days_summarised') }}
),

counted as (
    select
        cohort_start,
        period_start,
        count(case when is_first_day then 1 end) as retained_count,
        sum(purchase_count) as purchase_count,
        sum(net_amount) as net_amount
    from days
    group by cohort_start, period_start
),

cohorts as (
    select
        cohort_start,
        retained_count as cohort_size
    from counted
    where cohort_start = period_start
),

longest as (
    select
        coalesce(
            max({{ periods_between(period, 'cohort_start', period_start(period, as_of_date())) }}),
            -1
        ) as offset_count
    from cohorts
),

offsets as (
    select number as period_offset
    from {{ numbers_up_to('(select longest.offset_count from longest)') }}
),

cells as (
    select
        cohorts.cohort_start,
        cohorts.cohort_size,
        offsets.period_offset,
        {{ plus_periods(period, 'cohorts.cohort_start', 'offsets.period_offset') }} as period_start
    from cohorts
    cross join offsets
    where
        {{ plus_periods(period, 'cohorts.cohort_start', 'offsets.period_offset') }}
        <= {{ as_of_date() }}
)

select
    '{{ period }}' as cohort_period,
    cells.cohort_start,
    cells.period_offset,
    cells.period_start,
    {{ plus_periods(period, 'cells.period_start', 1) }} <= {{ plus_days(as_of_date(), 1) }}
        as is_complete,
    cells.cohort_size,
    coalesce(counted.retained_count, 0) as retained_count,
    coalesce(counted.retained_count, 0) / cast(cells.cohort_size as double) as retained_ratio,
    cast(coalesce(counted.purchase_count, 0) as bigint) as purchase_count,
    cast(coalesce(counted.net_amount, 0) as decimal(18, 4)) as reporting_net_amount,
    '{{ var("reporting_currency") }}' as reporting_currency_code
from cells
left join counted
    on
        cells.cohort_start = counted.cohort_start
        and cells.period_start = counted.period_start
