-- Grain: one row per customer: the value that survived for each field and its record.
-- Source priority first, then the newest record; the parts of a name or an address stay together.
with records as (
    select * from {{ ref('int_records_normalised') }}
),

sources as (
    select * from {{ ref('int_customer_sources_resolved') }}
),

rules as (
    select
        source,
        {{ priority_of('name') }} as name_priority,
        {{ priority_of('email') }} as email_priority,
        {{ priority_of('phone') }} as phone_priority,
        {{ priority_of('birth_date') }} as birth_date_priority,
        {{ priority_of('gender') }} as gender_priority,
        {{ priority_of('address') }} as address_priority,
        {{ priority_of('company') }} as company_priority
    from {{ ref('survivorship_rules') }}
    group by source
),

ranked as (
    select
        records.*,
        sources.customer_id,
        row_number() over (
            partition by sources.customer_id
            order by records.updated_at desc nulls last, records.source_record_id asc
        ) as recency_rank
    from records
    inner join sources on records.record_number = sources.record_number
),

-- one integer per field: the priority of the source, then recency
candidates as (
    select
        ranked.*,
        -- a name with a missing half comes after every whole one
        {{ survivor_rank('name') }}
        + case
            when ranked.first_name is null or ranked.last_name is null then 10000000000
            else 0
        end
            as name_rank,
        {{ survivor_rank('email') }} as email_rank,
        {{ survivor_rank('phone') }} as phone_rank,
        {{ survivor_rank('birth_date') }} as birth_date_rank,
        {{ survivor_rank('gender') }} as gender_rank,
        {{ survivor_rank('address') }} as address_rank,
        {{ survivor_rank('company') }} as company_rank,
        coalesce(ranked.first_name, ranked.last_name) is not null as has_name,
        coalesce(ranked.street, ranked.city, ranked.postcode) is not null as has_address
    from ranked
    left join rules on ranked.source = rules.source
)

select
    customer_id,
    {{ survivor('first_name', 'name', 'has_name') }} as first_name,
    {{ survivor('last_name', 'name', 'has_name') }} as last_name,
    {{ survivor('source_record_id', 'name', 'has_name') }} as name_source_record_id,
    {{ survivor('email', 'email') }} as email,
    {{ survivor('source_record_id', 'email') }} as email_source_record_id,
    {{ survivor('phone', 'phone') }} as phone,
    {{ survivor('source_record_id', 'phone') }} as phone_source_record_id,
    {{ survivor('birth_date', 'birth_date') }} as birth_date,
    {{ survivor('source_record_id', 'birth_date') }} as birth_date_source_record_id,
    {{ survivor('gender', 'gender') }} as gender,
    {{ survivor('source_record_id', 'gender') }} as gender_source_record_id,
    {{ survivor('street', 'address', 'has_address') }} as street,
    {{ survivor('city', 'address', 'has_address') }} as city,
    {{ survivor('postcode', 'address', 'has_address') }} as postcode,
    {{ survivor('country', 'address', 'has_address') }} as country,
    {{ survivor('source_record_id', 'address', 'has_address') }} as address_source_record_id,
    {{ survivor('company', 'company') }} as company,
    {{ survivor('source_record_id', 'company') }} as company_source_record_id
from candidates
group by customer_id
