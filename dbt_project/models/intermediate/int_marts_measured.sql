-- Grain: one row per measure of what the marts say of customers as a whole.
-- The shares of RFM segments are measures too; segment_swing compares them with the last release's.
with customers as (
    select
        customer_id,
        reporting_net_amount,
        purchase_count,
        is_contactable_by_email
    from {{ ref('customers') }}
),

segments as (
    select
        'rfm_segment: ' || coalesce(rfm_segment, 'none') as measure,
        count(*) as counted
    from {{ ref('customer_segments') }}
    group by rfm_segment
),

released as (
    select * from {{ source('state', 'released_measures') }}
    where measure like 'rfm_segment: %'
),

totals as (
    select
        count(*) as customer_count,
        coalesce(sum(reporting_net_amount), 0) as net_amount,
        coalesce(sum(purchase_count), 0) as purchase_count,
        count(*) filter (where is_contactable_by_email) as contactable_count
    from customers
),

segment_shares as (
    select
        segments.measure,
        segments.counted,
        totals.customer_count,
        segments.counted / totals.customer_count as share
    from segments
    cross join totals
),

-- null before the first release, and then there is no swing
swing as (
    select
        case
            when count(released.measure) > 0
                then sum(
                    abs(coalesce(segment_shares.share, 0) - coalesce(released.value, 0))
                ) / 2
        end as share
    from segment_shares
    full join released on segment_shares.measure = released.measure
),

measured as (
    select
        measure,
        counted,
        customer_count as out_of,
        share as value
    from segment_shares
    union all
    select
        'segment_swing' as measure,
        totals.customer_count as counted,
        totals.customer_count as out_of,
        swing.share as value
    from swing
    cross join totals
    union all
    select
        'revenue_per_customer' as measure,
        customer_count as counted,
        customer_count as out_of,
        net_amount / nullif(customer_count, 0) as value
    from totals
    union all
    select
        'purchases_per_customer' as measure,
        customer_count as counted,
        customer_count as out_of,
        purchase_count / nullif(customer_count, 0) as value
    from totals
    union all
    select
        'contactable_by_email' as measure,
        customer_count as counted,
        customer_count as out_of,
        contactable_count / nullif(customer_count, 0) as value
    from totals
)

select
    measure,
    cast(counted as bigint) as counted,
    cast(out_of as bigint) as out_of,
    cast(value as double) as value
from measured
