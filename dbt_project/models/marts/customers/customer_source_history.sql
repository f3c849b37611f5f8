-- Grain: one row per record of a person and customer id that it once had and has no more.
-- A record's customer on day D is that of its first row with known_until after D, else today's.
with remembered as (
    select
        source_record_id,
        customer_id,
        known_until
    from {{ source('released', 'customer_source_history') }}
),

released as (
    select
        record_key,
        source_record_id,
        customer_id
    from {{ source('state', 'customer_sources') }}
),

assigned as (
    select
        record_key,
        customer_id
    from {{ ref('int_records_assigned') }}
),

-- a run of an earlier day than the last one must not reorder what is remembered
today as (
    select greatest({{ as_of_date() }}, max(known_until)) as known_until
    from remembered
),

superseded as (
    select
        released.source_record_id,
        released.customer_id,
        today.known_until
    from released
    left join assigned on released.record_key = assigned.record_key
    cross join today
    where assigned.customer_id is distinct from released.customer_id
),

-- an id that a record bore for part of a day only was never that of a day
kept as (
    select superseded.*
    from superseded
    anti join remembered
        on
            superseded.source_record_id = remembered.source_record_id
            and superseded.known_until = remembered.known_until
)

select * from remembered
union all
select * from kept
