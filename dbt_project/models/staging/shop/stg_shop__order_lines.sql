-- Grain: one row per line of a web shop order.
-- Lines carry no cursor: the version landed last wins.
with exported as (
    select * from {{ source('shop', 'order_lines') }}
),

typed as (
    select
        'shop:' || order_id as order_key,
        order_id,
        cast(line_number as integer) as line_number,
        product_id,
        product_name,
        category,
        {{ amount('quantity') }} as quantity,
        {{ amount('unit_price') }} as unit_price_amount,
        _loaded_at,
        _source_file,
        _row_hash
    from exported
),

newest_per_line as (
    select * from typed
    qualify {{ newest_version('order_id, line_number') }}
)

select * from newest_per_line
