-- Grain: one row per till member.
-- Members give a postcode but neither street nor country.
with newest_per_member as (
    {{ newest_versions(source('pos', 'members'), key='member_id', cursor='updated_at') }}
),

typed as (
    select
        'pos:' || member_id as source_record_id,
        member_id,
        first_name,
        last_name,
        email,
        phone,
        {{ calendar_date('birth_date') }} as birth_date,
        postcode,
        {{ utc('joined_at') }} as joined_at,
        {{ utc('updated_at') }} as updated_at,
        _loaded_at,
        _source_file,
        _row_hash
    from newest_per_member
)

select * from typed
