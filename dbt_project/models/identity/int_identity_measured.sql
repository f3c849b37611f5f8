-- Grain: one row per measure: how people are matched now, and how far ids moved since the release.
-- `counted` of `out_of` customers, records or pairs; before the first release nothing has moved.
with assigned as (
    select
        record_key,
        customer_id
    from {{ ref('int_records_assigned') }}
),

released as (
    select
        record_key,
        customer_id
    from {{ source('state', 'customer_sources') }}
),

redirects as (
    select * from {{ ref('int_customer_redirects_resolved') }}
),

customer_sizes as (
    select count(*) as record_count
    from assigned
    group by customer_id
),

totals as (
    select
        coalesce(sum(record_count), 0) as record_count,
        count(*) as customer_count,
        coalesce(max(record_count), 0) as largest_count
    from customer_sizes
),

released_ids as (
    select distinct customer_id from released
),

places_of_released as (
    select
        released.customer_id,
        count(distinct assigned.customer_id) as place_count,
        coalesce(bool_or(assigned.customer_id <> released.customer_id), false) as has_moved
    from released
    left join assigned on released.record_key = assigned.record_key
    group by released.customer_id
),

moves as (
    select
        count(*) as released_count,
        count(*) filter (where has_moved) as moved_count,
        count(*) filter (where place_count > 1) as split_count
    from places_of_released
),

retired as (
    select
        count(redirects.current_customer_id) as merged_count,
        count(*) - count(redirects.current_customer_id) as withdrawn_count
    from redirects
    semi join released_ids on redirects.customer_id = released_ids.customer_id
),

doubtful as (
    select count(*) as pair_count
    from {{ ref('int_pairs_scored') }}
    where weight < {{ weight_of('match_probability') }}
),

refused as (
    select count(*) as merge_count from {{ ref('int_merges_refused') }}
),

counted as (
    select
        'moved_customers' as measure,
        moved_count as counted,
        released_count as out_of
    from moves
    union all
    select
        'split_customers' as measure,
        split_count as counted,
        released_count as out_of
    from moves
    union all
    select
        'merged_customers' as measure,
        retired.merged_count as counted,
        moves.released_count as out_of
    from retired
    cross join moves
    union all
    select
        'withdrawn_customers' as measure,
        retired.withdrawn_count as counted,
        moves.released_count as out_of
    from retired
    cross join moves
    union all
    select
        'largest_customer' as measure,
        largest_count as counted,
        1 as out_of
    from totals
    union all
    select
        'records_per_customer' as measure,
        record_count as counted,
        customer_count as out_of
    from totals
    union all
    select
        'doubtful_pairs' as measure,
        doubtful.pair_count as counted,
        totals.record_count as out_of
    from doubtful
    cross join totals
    union all
    select
        'refused_merges' as measure,
        refused.merge_count as counted,
        totals.record_count as out_of
    from refused
    cross join totals
)

select
    measure,
    cast(counted as bigint) as counted,
    cast(out_of as bigint) as out_of,
    cast(counted as double) / nullif(out_of, 0) as value
from counted
