-- Grain: one row per web shop order.
-- A guest order (no account) is a record of a person of its own, `shop:order:<id>`; an order whose
-- person was forgotten is nobody's.
with newest_per_order as (
    {{ newest_versions(source('shop', 'orders'), key='order_id', cursor='updated_at') }}
),

typed as (
    select
        'shop:' || order_id as order_key,
        case
            when not starts_with(order_id, 'anonymised-')
                then coalesce('shop:' || customer_id, 'shop:order:' || order_id)
        end as source_record_id,
        order_id,
        customer_id as account_id,
        email,
        phone,
        {{ utc('ordered_at') }} as ordered_at,
        lower(trim(status)) as status,
        upper(trim(currency_code)) as currency_code,
        {{ amount('total_amount') }} as total_amount,
        {{ amount('discount_amount') }} as discount_amount,
        {{ amount('refunded_amount') }} as refunded_amount,
        campaign,
        {{ utc('updated_at') }} as updated_at,
        _loaded_at,
        _source_file,
        _row_hash
    from newest_per_order
)

select * from typed
