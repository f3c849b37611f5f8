-- Grain: one row per cluster with the customer id it bears.
-- An id follows most of its released records; a cluster bears the best id that follows it.
{{ config(
    materialized='incremental',
    incremental_strategy='replace_changed',
    meta={'replaces': {'key': 'cluster_key', 'changed': 'int_clusters_changed'}}
) }}
{% set changed = ref('int_clusters_changed') %}

with clustered as (
    select
        record_key,
        cluster_key
    from {{ ref('int_records_clustered') }}
    {{ only_changed('cluster_key', changed) }}
),

records as (
    select
        record_key,
        source_record_id,
        first_seen_at
    from {{ ref('int_records_normalised') }}
),

released as (
    select
        record_key,
        customer_id
    from {{ source('state', 'customer_sources') }}
),

records_in_common as (
    select
        released.customer_id,
        clustered.cluster_key,
        count(*) as record_count,
        min(records.first_seen_at) as oldest_seen_at
    from clustered
    inner join released on clustered.record_key = released.record_key
    inner join records on clustered.record_key = records.record_key
    group by released.customer_id, clustered.cluster_key
),

ids_following as (
    select * from records_in_common
    qualify row_number() over (
        partition by customer_id
        order by record_count desc, oldest_seen_at asc nulls last, cluster_key asc
    ) = 1
),

ids_kept as (
    select * from ids_following
    qualify row_number() over (
        partition by cluster_key
        order by record_count desc, oldest_seen_at asc nulls last, customer_id asc
    ) = 1
),

clusters as (
    select
        cluster_key,
        min(record_key) as first_record_key
    from clustered
    group by cluster_key
),

ids_proposed as (
    select
        clusters.cluster_key,
        {{ new_customer_id('records.source_record_id', "'0'") }} as customer_id,
        records.source_record_id as first_source_record_id
    from clusters
    anti join ids_kept on clusters.cluster_key = ids_kept.cluster_key
    inner join records on clusters.first_record_key = records.record_key
),

-- proposals that have been somebody's id before
known_ids as (
    select customer_id from {{ source('state', 'customer_sources') }}
    where customer_id in (select customer_id from ids_proposed)
    union
    select customer_id from {{ source('state', 'customer_redirects') }}
    where customer_id in (select customer_id from ids_proposed)
),

-- for a record that has lent its name to an id before: history only ever grows
past_ids as (
    select 1 + count(*) as past_count from {{ source('state', 'customer_id_history') }}
)

select
    cluster_key,
    customer_id
from ids_kept

union all

select
    ids_proposed.cluster_key,
    case
        when known_ids.customer_id is null then ids_proposed.customer_id
        else {{ new_customer_id('ids_proposed.first_source_record_id', 'past_ids.past_count') }}
    end as customer_id
from ids_proposed
cross join past_ids
left join known_ids on ids_proposed.customer_id = known_ids.customer_id
