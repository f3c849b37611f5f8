-- Grain: one row per cluster with the customer id it bears.
-- An id follows most of its released records; a cluster bears the best id that follows it.
with records as (
    select
        clustered.record_number,
        clustered.source_record_id,
        clustered.cluster_number,
        normalised.first_seen_at
    from {{ ref('int_records_clustered') }} as clustered
    inner join {{ ref('int_records_normalised') }} as normalised
        on clustered.record_number = normalised.record_number
),

released as (
    select * from {{ source('state', 'customer_sources') }}
),

known_ids as (
    select customer_id from {{ source('state', 'customer_sources') }}
    union
    select customer_id from {{ source('state', 'customer_redirects') }}
),

known_id_count as (
    select count(*) as known_count from known_ids
),

records_in_common as (
    select
        released.customer_id,
        records.cluster_number,
        count(*) as record_count,
        min(records.first_seen_at) as oldest_seen_at
    from records
    inner join released on records.source_record_id = released.source_record_id
    group by released.customer_id, records.cluster_number
),

ids_following as (
    select * from records_in_common
    qualify row_number() over (
        partition by customer_id
        order by record_count desc, oldest_seen_at asc nulls last, cluster_number asc
    ) = 1
),

ids_kept as (
    select * from ids_following
    qualify row_number() over (
        partition by cluster_number
        order by record_count desc, oldest_seen_at asc nulls last, customer_id asc
    ) = 1
),

clusters as (
    select
        cluster_number,
        source_record_id as first_source_record_id
    from records
    where record_number = cluster_number
),

ids_proposed as (
    select
        clusters.cluster_number,
        {{ new_customer_id('clusters.first_source_record_id', "'0'") }} as customer_id,
        -- for a record that has lent its name to an id before: known ids only ever grow
        {{ new_customer_id('clusters.first_source_record_id', 'known_id_count.known_count') }}
            as customer_id_if_known
    from clusters
    cross join known_id_count
)

select
    ids_proposed.cluster_number,
    coalesce(
        ids_kept.customer_id,
        case when known_ids.customer_id is null then ids_proposed.customer_id end,
        ids_proposed.customer_id_if_known
    ) as customer_id,
    ids_kept.customer_id is not null as is_known_customer
from ids_proposed
left join ids_kept on ids_proposed.cluster_number = ids_kept.cluster_number
left join known_ids on ids_proposed.customer_id = known_ids.customer_id
