-- Grain: one row per customer with a purchase known on the as-of day.
-- The customer's own mean gap, to which everybody's median adds one more; no fixed number of days.
with histories as (
    select * from {{ ref('int_purchase_histories_summarised') }}
),

usual as (
    select {{ median_of('mean_gap_days') }} as gap_days
    from histories
),

expected as (
    select
        histories.*,
        round(
            (histories.recency_days + usual.gap_days) / (histories.repeat_count + 1), 6
        ) as expected_gap_days
    from histories
    cross join usual
),

overdue as (
    select
        *,
        cast(
            days_since_last_purchase - floor({{ var('overdue_gaps') }} * expected_gap_days)
            as bigint
        ) as overdue_days
    from expected
)

select
    customer_id,
    expected_gap_days,
    case when overdue_days < 0 then 0 else overdue_days end as overdue_days
from overdue
