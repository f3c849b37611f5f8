-- Grain: one row per customer with a purchase known on the as-of day.
-- One method for all of them: the calibrated model, the model as it is, or recency alone.
-- Nobody is expected to buy less often than it is likely that they buy at all.
with histories as (
    select * from {{ ref('int_purchase_histories_summarised') }}
),

predicted as (
    select * from {{ ref('int_purchases_predicted') }}
    where origin = 0
),

recency as (
    select * from {{ ref('int_recency_outcomes_counted') }}
),

published as (
    select
        max(case when model = 'published' and name = 'method' then status end) as method,
        max(case when name = 'intercept' then value end) as intercept,
        max(case when name = 'logit_slope' then value end) as logit_slope,
        max(case when name = 'repeat_slope' then value end) as repeat_slope,
        max(case when name = 'expected_factor' then value end) as expected_factor
    from {{ ref('int_purchase_predictions_calibrated') }}
    where origin = 0
),

horizon as (
    select horizon_days
    from {{ ref('int_prediction_origins_dated') }}
    where origin = 0
),

joined as (
    select
        histories.customer_id,
        histories.repeat_count,
        published.*,
        horizon.horizon_days,
        predicted.alive_probability,
        -- a probability of 0 or 1 has no logit
        least(greatest(predicted.no_purchase_probability, 1e-6), 1 - 1e-6)
            as no_purchase_probability,
        case when published.method = 'mbg_nbd_calibrated' then published.expected_factor else 1 end
            as factor,
        predicted.expected_count,
        predicted.expected_90_days_count,
        predicted.expected_180_days_count,
        predicted.expected_365_days_count,
        recency.churn_probability as recency_churn_probability,
        recency.purchases_per_day
    from histories
    cross join published
    cross join horizon
    inner join recency
        on
            histories.days_since_last_purchase >= recency.from_horizons * horizon.horizon_days
            and histories.days_since_last_purchase < recency.below_horizons * horizon.horizon_days
    left join predicted
        on
            histories.repeat_count = predicted.repeat_count
            and histories.recency_days = predicted.recency_days
            and histories.age_days = predicted.age_days
),

churned as (
    select
        *,
        case method
            when 'mbg_nbd_calibrated'
                then 1 / (
                    1 + exp(
                        -intercept
                        - logit_slope * ln(no_purchase_probability / (1 - no_purchase_probability))
                        - repeat_slope * ln(1 + repeat_count)
                    )
                )
            when 'mbg_nbd' then no_purchase_probability
            else recency_churn_probability
        end as churn_probability
    from joined
),

-- Chance and count are calibrated apart, so the count gives way.
consistent as (
    select
        * exclude (factor),
        greatest(factor, (1 - churn_probability) / nullif(expected_count, 0)) as factor
    from churned
)

select
    customer_id,
    alive_probability,
    round(churn_probability, 6) as churn_probability,
    horizon_days as churn_horizon_days,
    round(
        case
            when method = 'recency' then horizon_days * purchases_per_day
            else factor * expected_count
        end,
        6
    ) as expected_purchases_horizon,
    {% for days in [90, 180, 365] -%}
    round(
        case
            when method = 'recency' then {{ days }} * purchases_per_day
            else factor * expected_{{ days }}_days_count
        end,
        6
    ) as expected_purchases_{{ days }}_days,
    {% endfor -%}
    method as prediction_method
from consistent
