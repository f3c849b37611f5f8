-- Grain: one row per customer: everything that a rule of seed segment_rules may speak of.
-- The board of this model is the vocabulary of the rules; a column that is not there is unknown.
with customers as (
    select * from {{ ref('customers') }}
),

retention as (
    select * from {{ ref('customer_retention') }}
),

scores as (
    select * from {{ ref('int_customer_rfm_scored') }}
),

valued as (
    select
        customer_id,
        value_tier
    from {{ ref('customer_value') }}
),

thresholds as (
    select max(case when threshold = 'new' then days end) as new_days
    from {{ ref('lifecycle_thresholds') }}
),

engagement as (
    select
        customer_id,
        {% for channel in engagement_channels() -%}
        max(case when channel = '{{ channel }}' then level end) as {{ channel }}_engagement,
        {% endfor -%}
        max(last_engaged_at) as last_engaged_at
    from {{ ref('int_channel_engagement_levelled') }}
    group by customer_id
)

select
    customers.customer_id,
    case
        when retention.purchase_count = 0 then 'prospect'
        when {{ days_before_as_of('scores.first_purchased_at') }} <= thresholds.new_days then 'new'
        when retention.is_reactivated then 'reactivated'
        when retention.is_active then 'active'
        when retention.is_at_risk then 'at_risk'
        else 'lapsed'
    end as lifecycle_stage,
    scores.recency_days,
    retention.last_gap_days,
    {{ days_before_as_of('scores.first_purchased_at') }} as first_purchase_days,
    {{ days_before_as_of('customers.first_seen_at') }} as known_days,
    retention.purchase_count,
    cast(coalesce(scores.reporting_net_amount, 0) as decimal(18, 4)) as reporting_net_amount,
    scores.first_purchased_at,
    scores.last_purchased_at,
    scores.recency_score,
    scores.frequency_score,
    scores.monetary_score,
    scores.rfm_segment,
    valued.value_tier,
    {% for channel in engagement_channels() -%}
    coalesce(engagement.{{ channel }}_engagement, 'none') as {{ channel }}_engagement,
    {% endfor -%}
    engagement.last_engaged_at,
    customers.age_years,
    {{ age_band('customers.age_years') }} as age_band,
    customers.gender,
    customers.country,
    customers.company is not null as is_company,
    customers.email is not null as has_email,
    customers.phone is not null as has_phone,
    customers.shop_purchase_count > 0 as has_bought_in_shop,
    customers.pos_purchase_count > 0 as has_bought_in_pos,
    customers.is_in_crm,
    customers.is_in_shop,
    customers.is_in_pos,
    customers.is_in_web,
    customers.is_in_support,
    customers.is_in_mailing,
    customers.is_in_surveys,
    coalesce(customers.email_marketing_consent = 'granted', false) as has_email_marketing_consent,
    coalesce(customers.sms_marketing_consent = 'granted', false) as has_sms_marketing_consent,
    coalesce(customers.profiling_consent = 'granted', false) as has_profiling_consent,
    coalesce(customers.sharing_consent = 'granted', false) as has_sharing_consent,
    {{ as_of_date() }} as as_of_date
from customers
inner join retention on customers.customer_id = retention.customer_id
inner join valued on customers.customer_id = valued.customer_id
left join scores on customers.customer_id = scores.customer_id
left join engagement on customers.customer_id = engagement.customer_id
cross join thresholds
