-- Grain: one row per customer with a purchase known on the as-of day.
-- Gamma-gamma where it fits; otherwise the own mean of repeat days and everybody's as one day more.
with histories as (
    select * from {{ ref('int_purchase_histories_summarised') }}
),

fitted as (
    select
        max(case when name = 'p' then value end) as p,
        max(case when name = 'q' then value end) as q,
        max(case when name = 'v' then value end) as v,
        coalesce(max(case when name = 'converged' then value end), 0) = 1 as is_usable
    from {{ ref('int_purchase_models_fitted') }}
    where origin = 0 and model = 'gamma_gamma'
),

everybody as (
    select cast(sum(net_amount) as double) / nullif(count(net_amount), 0) as mean_amount
    from {{ ref('int_purchase_days_summarised') }}
),

expected as (
    select
        histories.customer_id,
        case
            when fitted.is_usable
                then
                    fitted.p * (
                        fitted.v
                        + histories.priced_repeat_count
                        * coalesce(cast(histories.mean_repeat_amount as double), 0)
                    ) / (fitted.p * histories.priced_repeat_count + fitted.q - 1)
            else
                (
                    everybody.mean_amount
                    + histories.priced_repeat_count
                    * coalesce(cast(histories.mean_repeat_amount as double), 0)
                ) / (histories.priced_repeat_count + 1)
        end as day_amount,
        case when fitted.is_usable then 'gamma_gamma' else 'mean' end as spend_method
    from histories
    cross join fitted
    cross join everybody
)

select
    customer_id,
    -- who took back more than was paid is not expected to do so again
    cast(case when day_amount < 0 then 0 else day_amount end as decimal(18, 4))
        as expected_day_amount,
    spend_method
from expected
