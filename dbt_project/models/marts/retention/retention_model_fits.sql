-- Grain: one row per model, day that it speaks of, and parameter or diagnostic.
-- Days before the as-of day are the backtest's: fitted with what was known then.
with origins as (
    select * from {{ ref('int_prediction_origins_dated') }}
),

told as (
    select * from {{ ref('int_purchase_models_fitted') }}

    union all

    select * from {{ ref('int_purchase_predictions_calibrated') }}

    union all

    select
        origin,
        'published' as model,
        'horizon_days' as name,
        cast(horizon_days as double) as value,
        null as status
    from origins
)

select
    told.model,
    coalesce(origins.origin_date, {{ as_of_date() }}) as fitted_on,
    told.name,
    told.value,
    told.status
from told
left join origins on told.origin = origins.origin
