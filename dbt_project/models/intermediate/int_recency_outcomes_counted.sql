{%- set bounds = [0, 0.25, 0.5, 1, 2, 1e9] -%}
-- Grain: one row per band of silence, counted in horizons: what customers did after it.
-- Smoothed by two customers and one customer year of the average; longer silence is never better.
with bands as (
    {% for band in range(1, 6) -%}
    {{ 'union all' if not loop.first }}
    select
        {{ band }} as band,
        cast({{ bounds[band - 1] }} as double) as from_horizons,
        cast({{ bounds[band] }} as double) as below_horizons
    {% endfor %}
),

published as (
    select horizon_days
    from {{ ref('int_prediction_origins_dated') }}
    where origin = 0
),

averages as (
    select
        -- half a purchase in a year is taken for granted before anything is seen
        (sum(histories.repeat_count) + 0.5) / (sum(histories.age_days) + 365.0)
            as purchases_per_day,
        max(published.horizon_days) as horizon_days
    from {{ ref('int_purchase_histories_summarised') }} as histories
    cross join published
    having count(*) > 0
),

outcomes as (
    select
        histories.*,
        origins.horizon_days,
        (histories.age_days - histories.recency_days)
        / cast(origins.horizon_days as double) as silent_horizons
    from {{ ref('int_purchase_histories_backtested') }} as histories
    inner join {{ ref('int_prediction_origins_dated') }} as origins
        on histories.origin = origins.origin
    where histories.origin > 0
),

counted as (
    select
        bands.band,
        bands.from_horizons,
        bands.below_horizons,
        coalesce(sum(outcomes.customer_count), 0) as customer_count,
        coalesce(sum(outcomes.customers_without_purchase), 0) as customers_without_purchase,
        coalesce(sum(outcomes.later_purchase_count), 0) as purchase_count,
        coalesce(sum(outcomes.customer_count * outcomes.horizon_days), 0) as customer_days
    from bands
    left join outcomes
        on
            bands.from_horizons <= outcomes.silent_horizons
            and bands.below_horizons > outcomes.silent_horizons
    group by bands.band, bands.from_horizons, bands.below_horizons
),

smoothed as (
    select
        counted.*,
        (
            counted.customers_without_purchase
            + 2 * exp(-averages.purchases_per_day * averages.horizon_days)
        ) / (counted.customer_count + 2) as churn_ratio,
        (counted.purchase_count + averages.purchases_per_day * 365)
        / (counted.customer_days + 365) as purchases_per_day
    from counted
    cross join averages
)

select
    band,
    from_horizons,
    below_horizons,
    cast(customer_count as bigint) as customer_count,
    round(max(churn_ratio) over (order by band asc), 6) as churn_probability,
    round(min(purchases_per_day) over (order by band asc), 9) as purchases_per_day
from smoothed
