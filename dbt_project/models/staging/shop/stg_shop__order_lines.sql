-- Grain: one row per line of a web shop order.
-- Lines carry no cursor: the version landed last wins.
with newest_per_line as (
    {{ newest_versions(source('shop', 'order_lines'), key='order_id, line_number') }}
),

typed as (
    select
        'shop:' || order_id as order_key,
        order_id,
        {{ whole_number('line_number') }} as line_number,
        product_id,
        product_name,
        category,
        {{ amount('quantity') }} as quantity,
        {{ amount('unit_price') }} as unit_price_amount,
        _loaded_at,
        _source_file,
        _row_hash
    from newest_per_line
)

select * from typed
