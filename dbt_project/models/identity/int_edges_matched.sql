-- Grain: one row per match key and record other than the key's first: an edge to that first record.
-- A star, not all pairs: a key on n records costs n - 1 edges.
with match_keys as (
    select * from {{ ref('int_match_keys_collected') }}
),

shared_keys as (
    select
        key_type,
        key_value,
        min(record_number) as first_record_number
    from match_keys
    group by key_type, key_value
    having count(*) > 1
)

select
    shared_keys.first_record_number,
    match_keys.record_number,
    match_keys.key_type
from match_keys
inner join shared_keys
    on
        match_keys.key_type = shared_keys.key_type
        and match_keys.key_value = shared_keys.key_value
where match_keys.record_number <> shared_keys.first_record_number
