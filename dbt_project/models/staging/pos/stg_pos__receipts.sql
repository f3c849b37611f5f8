-- Grain: one row per till receipt.
-- A receipt without member was paid by nobody we know: money without a customer.
with newest_per_receipt as (
    {{ newest_versions(source('pos', 'receipts'), key='receipt_id') }}
),

typed as (
    select
        'pos:' || receipt_id as order_key,
        'pos:' || member_id as source_record_id,
        receipt_id,
        member_id,
        store_id,
        {{ utc('purchased_at') }} as purchased_at,
        upper(trim(currency_code)) as currency_code,
        {{ amount('total_amount') }} as total_amount,
        {{ amount('refunded_amount') }} as refunded_amount,
        _loaded_at,
        _source_file,
        _row_hash
    from newest_per_receipt
)

select * from typed
