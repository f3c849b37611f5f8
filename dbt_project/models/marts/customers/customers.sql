-- Grain: one row per customer.
-- Each value comes from one record, named beside it; a name or an address is never mixed.
with golden_records as (
    select * from {{ ref('int_golden_records_chosen') }}
),

sources as (
    select * from {{ ref('int_customer_sources_resolved') }}
),

purchases as (
    select * from {{ ref('customer_purchases') }}
),

consents as (
    select
        customer_id,
        {% for purpose in ['email_marketing', 'sms_marketing', 'profiling', 'sharing'] -%}
        max(case when purpose = '{{ purpose }}' then consent_status end) as {{ purpose }}_consent,
        {% endfor -%}
        coalesce(bool_or(is_granted and purpose = 'email_marketing'), false) as allows_email,
        coalesce(bool_or(is_granted and purpose = 'sms_marketing'), false) as allows_sms
    from {{ ref('customer_consent') }}
    where is_current
    group by customer_id
),

suppressions as (
    select
        customer_id,
        bool_or(channel = 'email') as forbids_email,
        bool_or(channel = 'sms') as forbids_sms
    from {{ ref('customer_suppressions') }}
    group by customer_id
),

presence as (
    select
        customer_id,
        count(*) as record_count,
        bool_or(source = 'crm') as is_in_crm,
        bool_or(source = 'shop') as is_in_shop,
        bool_or(source = 'pos') as is_in_pos,
        bool_or(source = 'web') as is_in_web,
        bool_or(source = 'support') as is_in_support,
        bool_or(source = 'mailing') as is_in_mailing,
        bool_or(source = 'surveys') as is_in_surveys,
        -- of those without a flag: a distinct count of all costs more than the rest of this model
        count(distinct source) filter (
            where source not in ('crm', 'shop', 'pos', 'web', 'support', 'mailing', 'surveys')
        ) as unflagged_source_count,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at
    from sources
    group by customer_id
)

select
    presence.customer_id,
    golden_records.first_name,
    golden_records.last_name,
    golden_records.name_source_record_id,
    golden_records.email,
    golden_records.email_source_record_id,
    golden_records.phone,
    golden_records.phone_source_record_id,
    golden_records.birth_date,
    {{ age_years('golden_records.birth_date') }} as age_years,
    golden_records.birth_date_source_record_id,
    golden_records.gender,
    golden_records.gender_source_record_id,
    golden_records.street,
    golden_records.city,
    golden_records.postcode,
    golden_records.country,
    golden_records.address_source_record_id,
    golden_records.company,
    golden_records.company_source_record_id,
    presence.record_count,
    cast(presence.is_in_crm as bigint) + cast(presence.is_in_shop as bigint)
    + cast(presence.is_in_pos as bigint) + cast(presence.is_in_web as bigint)
    + cast(presence.is_in_support as bigint) + cast(presence.is_in_mailing as bigint)
    + cast(presence.is_in_surveys as bigint) + presence.unflagged_source_count as source_count,
    presence.is_in_crm,
    presence.is_in_shop,
    presence.is_in_pos,
    presence.is_in_web,
    presence.is_in_support,
    presence.is_in_mailing,
    presence.is_in_surveys,
    presence.first_seen_at,
    presence.last_seen_at,
    consents.email_marketing_consent,
    consents.sms_marketing_consent,
    consents.profiling_consent,
    consents.sharing_consent,
    golden_records.email is not null
    and coalesce(consents.allows_email, false)
    and not coalesce(suppressions.forbids_email, false) as is_contactable_by_email,
    golden_records.phone is not null
    and coalesce(consents.allows_sms, false)
    and not coalesce(suppressions.forbids_sms, false) as is_contactable_by_sms,
    coalesce(purchases.purchase_count, 0) as purchase_count,
    coalesce(purchases.shop_purchase_count, 0) as shop_purchase_count,
    coalesce(purchases.pos_purchase_count, 0) as pos_purchase_count,
    purchases.first_purchased_at,
    purchases.last_purchased_at,
    coalesce(purchases.reporting_net_amount, 0) as reporting_net_amount,
    cast(
        purchases.reporting_net_amount
        / nullif(purchases.purchase_count - purchases.unpriced_purchase_count, 0) as decimal(18, 4)
    ) as reporting_average_order_amount,
    '{{ var("reporting_currency") }}' as reporting_currency_code
from presence
inner join golden_records on presence.customer_id = golden_records.customer_id
left join purchases on presence.customer_id = purchases.customer_id
left join consents on presence.customer_id = consents.customer_id
left join suppressions on presence.customer_id = suppressions.customer_id
