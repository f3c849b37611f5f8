-- Grain: one row per CRM contact.
-- A contact deleted in the CRM stays here, flagged; identity leaves it out.
with newest_per_contact as (
    {{ newest_versions(source('crm', 'contacts'), key='contact_id', cursor='updated_at') }}
),

typed as (
    select
        'crm:' || contact_id as source_record_id,
        contact_id,
        first_name,
        last_name,
        email,
        phone,
        {{ calendar_date('birth_date') }} as birth_date,
        gender,
        national_id,
        street,
        city,
        postcode,
        country,
        company,
        -- empty means "not asked", which is not consent
        {{ yes_no('marketing_opt_in') }} as is_marketing_opted_in,
        {{ utc('created_at') }} as created_at,
        {{ utc('updated_at') }} as updated_at,
        coalesce({{ yes_no('is_deleted') }}, false) as is_deleted,
        _loaded_at,
        _source_file,
        _row_hash
    from newest_per_contact
)

select * from typed
