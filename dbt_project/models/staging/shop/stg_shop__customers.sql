-- Grain: one row per shop account.
-- The newest version by `updated_at` wins, however late it was landed.
with newest_per_account as (
    {{ newest_versions(source('shop', 'customers'), key='customer_id', cursor='updated_at') }}
),

typed as (
    select
        'shop:' || customer_id as source_record_id,
        customer_id as account_id,
        first_name,
        last_name,
        email,
        phone,
        street,
        city,
        postcode,
        country,
        {{ utc('created_at') }} as created_at,
        {{ utc('updated_at') }} as updated_at,
        _loaded_at,
        _source_file,
        _row_hash
    from newest_per_account
)

select * from typed
