-- Grain: one row per customer with at least one purchase known on the as-of day.
-- A score is 1 plus the quintile cuts strictly below the value, so equal customers score equally.
with purchases as (
    select
        customer_id,
        purchase_count,
        reporting_net_amount,
        first_purchased_at,
        last_purchased_at,
        {{ days_before_as_of('last_purchased_at') }} as recency_days
    from {{ ref('customer_purchases') }}
),

rfm_segments as (
    select * from {{ ref('rfm_segments') }}
),

cuts as (
    select
        {{ quintile_cuts('recency_days') }} as recency_cuts,
        {{ quintile_cuts('purchase_count') }} as frequency_cuts,
        {{ quintile_cuts('reporting_net_amount') }} as monetary_cuts
    from purchases
),

scored as (
    select
        purchases.*,
        -- few days since the last purchase are good: counted from the other side
        6 - {{ quintile_score('purchases.recency_days', 'cuts.recency_cuts') }} as recency_score,
        {{ quintile_score('purchases.purchase_count', 'cuts.frequency_cuts') }}
            as frequency_score,
        {{ quintile_score('purchases.reporting_net_amount', 'cuts.monetary_cuts') }}
            as monetary_score
    from purchases
    cross join cuts
),

segmented as (
    select
        scored.customer_id,
        min_by(rfm_segments.segment, rfm_segments.priority) as rfm_segment
    from scored
    inner join rfm_segments
        on
            scored.recency_score >= rfm_segments.min_recency
            and scored.recency_score <= rfm_segments.max_recency
            and scored.frequency_score >= rfm_segments.min_frequency
            and scored.frequency_score <= rfm_segments.max_frequency
            and scored.monetary_score >= rfm_segments.min_monetary
            and scored.monetary_score <= rfm_segments.max_monetary
    group by scored.customer_id
)

select
    scored.customer_id,
    scored.purchase_count,
    scored.reporting_net_amount,
    scored.first_purchased_at,
    scored.last_purchased_at,
    scored.recency_days,
    cast(scored.recency_score as integer) as recency_score,
    cast(scored.frequency_score as integer) as frequency_score,
    cast(scored.monetary_score as integer) as monetary_score,
    coalesce(segmented.rfm_segment, 'Other') as rfm_segment
from scored
left join segmented on scored.customer_id = segmented.customer_id
