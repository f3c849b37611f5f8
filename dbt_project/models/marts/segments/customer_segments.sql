-- Grain: one row per customer.
-- A score is 1 plus the quintile cuts strictly below the value, so equal customers score equally.
with retention as (
    select * from {{ ref('customer_retention') }}
),

purchases as (
    select
        customer_id,
        purchase_count,
        reporting_net_amount,
        first_purchased_at,
        {{ days_before_as_of('last_purchased_at') }} as recency_days
    from {{ ref('customer_purchases') }}
),

rfm_segments as (
    select * from {{ ref('rfm_segments') }}
),

thresholds as (
    select max(case when threshold = 'new' then days end) as new_days
    from {{ ref('lifecycle_thresholds') }}
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
    retention.customer_id,
    case
        when retention.purchase_count = 0 then 'prospect'
        when {{ days_before_as_of('scored.first_purchased_at') }} <= thresholds.new_days then 'new'
        when retention.is_reactivated then 'reactivated'
        when retention.is_active then 'active'
        when retention.is_at_risk then 'at_risk'
        else 'lapsed'
    end as lifecycle_stage,
    scored.recency_days,
    coalesce(scored.purchase_count, 0) as purchase_count,
    coalesce(scored.reporting_net_amount, 0) as reporting_net_amount,
    cast(scored.recency_score as integer) as recency_score,
    cast(scored.frequency_score as integer) as frequency_score,
    cast(scored.monetary_score as integer) as monetary_score,
    case
        when scored.customer_id is not null then coalesce(segmented.rfm_segment, 'Other')
    end as rfm_segment,
    {{ as_of_date() }} as as_of_date
from retention
left join scored on retention.customer_id = scored.customer_id
left join segmented on retention.customer_id = segmented.customer_id
cross join thresholds
