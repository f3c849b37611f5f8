-- Grain: one row per search key and customer: the names, e-mails and phones that find somebody.
-- Rows are in the order of the key, so what starts with a text is read without reading the rest.
with records as (
    select
        customer_id,
        {{ normalise_name('coalesce(first_name, mailbox_first_name)') }} as first_name,
        {{ normalise_name('coalesce(last_name, mailbox_last_name)') }} as last_name,
        email,
        phone
    from {{ ref('customer_records') }}
),

keys as (
    select
        customer_id,
        'name' as key_type,
        concat(first_name, last_name) as search_key
    from records

    union

    -- whichever of the two people type first
    select
        customer_id,
        'name' as key_type,
        concat(last_name, first_name) as search_key
    from records

    union

    select
        customer_id,
        'email' as key_type,
        email as search_key
    from records

    union

    -- the digits that a number has however it is written
    select
        customer_id,
        'phone' as key_type,
        right(phone, 9) as search_key
    from records
)

select
    search_key,
    key_type,
    customer_id
from keys
where search_key <> ''
order by search_key asc nulls last, key_type asc nulls last, customer_id asc nulls last
