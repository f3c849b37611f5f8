-- Grain: one row per record of a person: what it shows, normalised, as people read it.
-- A national id only joins and tells apart: nobody needs to read it, so it is not published.
with records as (
    select * from {{ ref('int_records_normalised') }}
),

assigned as (
    select * from {{ ref('int_records_assigned') }}
),

clustered as (
    select * from {{ ref('int_records_clustered') }}
),

shared as (
    select * from {{ ref('int_values_shared') }}
),

rectified as (
    select
        record_key,
        string_agg(field, ', ' order by field) as rectified_fields
    from {{ ref('int_rectifications_applied') }}
    group by record_key
)

select
    records.source_record_id,
    assigned.customer_id,
    records.source,
    records.record_type,
    records.first_name,
    records.last_name,
    case when records.first_name is null then records.match_first_name end as mailbox_first_name,
    case when records.last_name is null then records.match_last_name end as mailbox_last_name,
    records.birth_date,
    records.gender,
    records.email,
    shared_emails.status as email_sharing,
    records.phone,
    shared_phones.status as phone_sharing,
    records.street,
    records.city,
    records.postcode,
    records.country,
    records.company,
    records.first_seen_at,
    records.last_seen_at,
    records.updated_at,
    rectified.rectified_fields,
    clustered.cluster_key = records.record_key as is_alone
from records
inner join assigned on records.record_key = assigned.record_key
inner join clustered on records.record_key = clustered.record_key
left join shared as shared_emails
    on records.email_key = shared_emails.value_key and records.email is not null
left join shared as shared_phones
    on records.phone_key = shared_phones.value_key and records.phone is not null
left join rectified on records.record_key = rectified.record_key
