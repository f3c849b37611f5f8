-- Grain: one row per customer: what a segment can be made of, in its published part.
-- Membership of the segments that analysts define is in customer_segment_memberships.
select
    customer_id,
    lifecycle_stage,
    recency_days,
    purchase_count,
    reporting_net_amount,
    recency_score,
    frequency_score,
    monetary_score,
    rfm_segment,
    value_tier,
    {% for channel in engagement_channels() -%}
    {{ channel }}_engagement,
    {% endfor -%}
    last_engaged_at,
    age_band,
    gender,
    country,
    as_of_date
from {{ ref('int_customer_attributes_gathered') }}
