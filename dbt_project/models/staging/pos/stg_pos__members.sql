-- Grain: one row per till member.
-- Members give a postcode but neither street nor country.
with exported as (
    select * from {{ source('pos', 'members') }}
),

typed as (
    select
        'pos:' || member_id as source_record_id,
        member_id,
        first_name,
        last_name,
        email,
        phone,
        cast(birth_date as date) as birth_date,
        postcode,
        {{ utc('joined_at') }} as joined_at,
        {{ utc('updated_at') }} as updated_at,
        _loaded_at,
        _source_file,
        _row_hash
    from exported
),

newest_per_member as (
    select * from typed
    qualify {{ newest_version('member_id', cursor='updated_at') }}
)

select * from newest_per_member
