-- Grain: one row per answer of a CRM contact about e-mail marketing, from when on it was shown.
-- Every edit dates a contact anew, so an answer counts from the first of the versions that show it.
with versions as (
    select
        contact_id,
        {{ yes_no('marketing_opt_in') }} as is_opted_in,
        {{ utc('updated_at') }} as updated_at,
        _loaded_at,
        _source_file,
        _row_hash
    from {{ source('crm', 'contacts') }}
),

dated as (
    select * from versions
    -- a version with a date is newer than any without
    qualify updated_at is not null or count(updated_at) over (partition by contact_id) = 0
),

newest_per_instant as (
    select * from dated
    qualify row_number() over (
        partition by contact_id, updated_at
        order by _loaded_at desc, _source_file desc, _row_hash asc
    ) = 1
),

remembered as (
    select
        *,
        last_value(is_opted_in ignore nulls) over (
            partition by contact_id
            order by updated_at
            rows between unbounded preceding and current row
        ) as last_answer
    from newest_per_instant
),

answered as (
    select
        contact_id,
        -- a blank after a no is still a no; after a yes it is no longer a yes
        case when last_answer = false then false else is_opted_in end as is_opted_in,
        updated_at,
        _loaded_at,
        _source_file,
        _row_hash
    from remembered
),

changed as (
    select * from answered
    qualify is_opted_in is distinct from lag(is_opted_in) over (
        partition by contact_id order by updated_at
    )
),

numbered as (
    select
        'crm:' || contact_id as source_record_id,
        contact_id || ':' || row_number() over (
            partition by contact_id order by updated_at
        ) as opt_in_id,
        contact_id,
        is_opted_in,
        updated_at as answered_at,
        _loaded_at,
        _source_file,
        _row_hash
    from changed
)

select * from numbered
