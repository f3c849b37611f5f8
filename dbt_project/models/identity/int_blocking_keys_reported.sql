-- Grain: one row per blocking key: what it costs and what only it finds.
-- A key that finds nothing alone but brings many pairs does not pay; pairs are before they are one.
{{ config(materialized='view') }}

with blocks as (
    select
        key_number,
        block,
        count(*) as size
    from {{ ref('int_blocking_keys_collected') }}
    group by key_number, block
),

costs as (
    select
        key_number,
        count(*) as block_count,
        count(*) filter (where size > {{ block_cap() }}) as dropped_block_count,
        max(size) as largest_block,
        cast(
            coalesce(sum(size * (size - 1) // 2) filter (where size <= {{ block_cap() }}), 0)
            as bigint
        ) as pair_count
    from blocks
    group by key_number
),

matches as (
    select
        keys,
        count(*) as match_count
    from {{ ref('int_pairs_scored') }}
    where weight >= {{ weight_of('match_probability') }}
    group by keys
),

names as (
    {% for key in blocking_keys() %}
    {{ 'union all' if not loop.first }}
    select {{ loop.index0 }} as key_number, '{{ key.name }}' as key_name, {{ key.cap }} as cap
    {% endfor %}
)

select
    names.key_name,
    names.cap,
    coalesce(costs.block_count, 0) as block_count,
    coalesce(costs.dropped_block_count, 0) as dropped_block_count,
    coalesce(costs.largest_block, 0) as largest_block,
    coalesce(costs.pair_count, 0) as pair_count,
    cast(coalesce(sum(matches.match_count) filter (
        where matches.keys & (1 << names.key_number) > 0
    ), 0) as bigint) as match_count,
    cast(coalesce(sum(matches.match_count) filter (
        where matches.keys = 1 << names.key_number
    ), 0) as bigint) as only_here_count
from names
left join costs on names.key_number = costs.key_number
cross join matches
group by all
