-- Grain: one row per day from which purchases are predicted; origin 0 is the as-of day.
-- The others lie inside the data, where what came after them is known: .5 to .8 of its span.
with shares as (
    {% for share in [0.5, 0.6, 0.7, 0.8] -%}
    {{ 'union all' if not loop.first }}
    select
        {{ loop.index }} as origin,
        {{ share }} as share
    {% endfor %}
),

-- a stray order of long ago is not the beginning of the data
beginnings as (
    select {{ earliest_hundredth('first_purchased_on') }} as first_day
    from {{ ref('int_purchase_histories_summarised') }}
),

spans as (
    select
        first_day,
        {{ days_between('first_day', as_of_date()) }} as span_days
    from beginnings
    where first_day is not null
),

dated as (
    select
        shares.origin,
        {{ plus_days('spans.first_day', 'round(spans.span_days * shares.share)') }}
            as origin_date
    from spans
    cross join shares
    where spans.span_days * 0.2 >= {{ var('least_backtest_days') }}
)

select
    cast(0 as bigint) as origin,
    {{ as_of_date() }} as origin_date,
    cast({{ var('churn_horizon_days') }} as bigint) as horizon_days
from spans

union all

select
    cast(origin as bigint) as origin,
    origin_date,
    {{ days_between('origin_date', as_of_date()) }} as horizon_days
from dated
