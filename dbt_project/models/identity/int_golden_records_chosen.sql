-- Grain: one row per customer with the value that survived for each field and the record it is from.
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
        {%- for field in ['name', 'email', 'phone', 'birth_date', 'gender', 'address', 'company'] %}
        coalesce(max(case when field_group = '{{ field }}' then priority end), 99)
            as {{ field }}_priority{{ ',' if not loop.last }}
        {%- endfor %}
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

-- one integer per field: incomplete names last, then the priority, then recency
candidates as (
    select
        ranked.*,
        (case when ranked.first_name is null or ranked.last_name is null then 100 else 0 end
        + coalesce(rules.name_priority, 99)) * 100000000 + ranked.recency_rank as name_rank,
        {%- for field in ['email', 'phone', 'birth_date', 'gender', 'address', 'company'] %}
        coalesce(rules.{{ field }}_priority, 99) * 100000000 + ranked.recency_rank
            as {{ field }}_rank,
        {%- endfor %}
        coalesce(ranked.first_name, ranked.last_name) is not null as has_name,
        coalesce(ranked.street, ranked.city, ranked.postcode) is not null as has_address
    from ranked
    left join rules on ranked.source = rules.source
)

select
    customer_id,
    {{ survivor('first_name', 'name_rank', 'has_name') }} as first_name,
    {{ survivor('last_name', 'name_rank', 'has_name') }} as last_name,
    {{ survivor('source_record_id', 'name_rank', 'has_name') }} as name_source_record_id,
    {%- for field in ['email', 'phone', 'birth_date', 'gender'] %}
    {{ survivor(field, field ~ '_rank') }} as {{ field }},
    {{ survivor('source_record_id', field ~ '_rank', field ~ ' is not null') }}
        as {{ field }}_source_record_id,
    {%- endfor %}
    {%- for part in ['street', 'city', 'postcode', 'country'] %}
    {{ survivor(part, 'address_rank', 'has_address') }} as {{ part }},
    {%- endfor %}
    {{ survivor('source_record_id', 'address_rank', 'has_address') }} as address_source_record_id,
    {{ survivor('company', 'company_rank') }} as company,
    {{ survivor('source_record_id', 'company_rank', 'company is not null') }}
        as company_source_record_id
from candidates
group by customer_id
