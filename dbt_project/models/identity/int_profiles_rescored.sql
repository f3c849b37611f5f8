-- Grain: one row per profile whose pairs have to be found and scored anew.
-- Filled in an increment only: the changed ones, all of a block that has passed its cap, and all of
-- one name when there are more or fewer of them than before.
{% set changed = ref('int_profiles_changed') %}
{% set keys = ref('int_blocking_keys_collected') %}
{% set retired = ref('int_blocking_keys_retired') %}

with differences as (
    select
        block,
        key_number,
        -1 as difference
    from {{ retired }}

    union all

    select
        block,
        key_number,
        1 as difference
    from {{ keys }}
    where {{ is_changed('profile_key', changed) }}
),

touched_blocks as (
    select
        block,
        key_number,
        sum(difference) as growth
    from differences
    group by block, key_number
    having sum(difference) <> 0
),

sizes as (
    select
        block,
        count(*) as size
    from {{ keys }}
    where block in (select block from touched_blocks)
    group by block
),

-- a pair counts while the block is within its cap, so passing it either way changes every pair
passed_blocks as (
    select sizes.block
    from touched_blocks
    inner join sizes on touched_blocks.block = sizes.block
    where
        (sizes.size <= {{ block_cap('touched_blocks.key_number') }})
        <> (sizes.size - touched_blocks.growth <= {{ block_cap('touched_blocks.key_number') }})
        -- how rare a name is hangs on how many have it
        or (
            touched_blocks.key_number = {{ names_key() }}
            and least(sizes.size, sizes.size - touched_blocks.growth) <= {{ names_cap() }}
        )
)

select profile_key from {{ changed }}
union
select profile_key from {{ keys }}
where block in (select block from passed_blocks)
