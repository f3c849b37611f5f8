-- Grain: one row per record and piece of exact evidence; records with an equal key are one person.
-- A phone counts only with the name, so does an e-mail that several use; a placeholder never.
with records as (
    select * from {{ ref('int_records_normalised') }}
),

shared_emails as (
    select * from {{ ref('int_emails_classified') }}
),

personal_email_keys as (
    select
        records.record_number,
        'email' as key_type,
        records.email as key_value
    from records
    anti join shared_emails on records.email = shared_emails.email
    where records.email is not null
),

shared_email_keys as (
    select
        records.record_number,
        'email_and_name' as key_type,
        case
            when shared_emails.email_type = 'household'
                then records.email || '|' || records.first_name_canonical
            else
                records.email || '|' || records.first_name_canonical
                || '|' || records.last_name_normalised
        end as key_value
    from records
    inner join shared_emails on records.email = shared_emails.email
    where shared_emails.email_type <> 'placeholder'
),

phone_keys as (
    select
        record_number,
        'phone_and_name' as key_type,
        -- smaller name first, so that swapped names still agree
        phone || '|' || least(first_name_canonical, last_name_normalised)
        || '|' || greatest(first_name_canonical, last_name_normalised) as key_value
    from records
    where
        phone is not null
        and first_name_canonical is not null
        and last_name_normalised is not null
),

collected as (
    select * from personal_email_keys
    union all
    select * from shared_email_keys
    where key_value is not null
    union all
    select * from phone_keys
)

select * from collected
