-- Grain: one row per record of a person with its cluster.
-- Transitive: a cluster is a connected component, named by its smallest record number in this run.
with recursive -- noqa: PRS

records as (
    select record_number, source_record_id from {{ ref('int_records_normalised') }}
),

edges as (
    select distinct first_record_number as from_number, record_number as to_number
    from {{ ref('int_edges_matched') }}
),

neighbours as (
    select from_number, to_number from edges
    union all
    select to_number as from_number, from_number as to_number from edges
),

-- Each round a record takes the smallest label among its neighbours; USING KEY keeps one row per
-- record, and only records whose label changed go into the next round.
components (record_number, cluster_number) using key (record_number) as (
    select distinct from_number as record_number, from_number as cluster_number
    from neighbours

    union

    select
        known.record_number,
        min(changed.cluster_number) as cluster_number
    from components as changed
    inner join neighbours on changed.record_number = neighbours.from_number
    inner join recurring.components as known on neighbours.to_number = known.record_number
    where changed.cluster_number < known.cluster_number
    group by known.record_number
)

select
    records.record_number,
    records.source_record_id,
    coalesce(components.cluster_number, records.record_number) as cluster_number
from records
left join components on records.record_number = components.record_number
