-- Grain: one row per record of a person with its cluster.
-- Transitive: a cluster is a connected component, named by its smallest record number in this run.
with recursive -- noqa: PRS

records as (
    select record_number, source_record_id from {{ ref('int_records_normalised') }}
),

edges as (
    select distinct first_record_number, record_number
    from {{ ref('int_edges_matched') }}
),

neighbours as (
    select first_record_number as from_number, record_number as to_number from edges
    union all
    select record_number as from_number, first_record_number as to_number from edges
),

degrees as (
    select
        from_number as record_number,
        count(*) as degree,
        min(to_number) as nearest_number
    from neighbours
    group by from_number
),

-- Most records hang on a single edge. They take the label of its other end, so that the recursion
-- only sees records in the middle of something: ten times faster at a million records.
core_neighbours as (
    select
        neighbours.from_number,
        neighbours.to_number
    from neighbours
    inner join degrees as from_degrees on neighbours.from_number = from_degrees.record_number
    inner join degrees as to_degrees on neighbours.to_number = to_degrees.record_number
    where from_degrees.degree > 1 and to_degrees.degree > 1
),

-- Each round a record takes the smallest label among its neighbours; USING KEY keeps one row per
-- record, and only records whose label changed go into the next round.
components (record_number, label) using key (record_number) as (
    select distinct from_number as record_number, from_number as label
    from core_neighbours

    union

    select
        known.record_number,
        min(changed.label) as label
    from components as changed
    inner join core_neighbours on changed.record_number = core_neighbours.from_number
    inner join recurring.components as known on core_neighbours.to_number = known.record_number
    where changed.label < known.label
    group by known.record_number
),

anchors as (
    select
        degrees.record_number,
        case
            when degrees.degree > 1 then degrees.record_number
            when other_ends.degree > 1 then degrees.nearest_number
            -- a pair on its own
            else least(degrees.record_number, degrees.nearest_number)
        end as anchor_number
    from degrees
    inner join degrees as other_ends on degrees.nearest_number = other_ends.record_number
),

labelled as (
    select
        anchors.record_number,
        coalesce(components.label, anchors.anchor_number) as label
    from anchors
    left join components on anchors.anchor_number = components.record_number
),

clusters as (
    select
        label,
        min(record_number) as cluster_number
    from labelled
    group by label
)

select
    records.record_number,
    records.source_record_id,
    coalesce(clusters.cluster_number, records.record_number) as cluster_number
from records
left join labelled on records.record_number = labelled.record_number
left join clusters on labelled.label = clusters.label
