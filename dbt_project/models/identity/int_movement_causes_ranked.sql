-- Grain: one row per measure and cause why released ids met, parted or went, the weightiest first.
-- A value is shown as a digest with a record that bears it: causes are read by people and logged.
with assigned as (
    select
        record_key,
        customer_id
    from {{ ref('int_records_assigned') }}
),

released as (
    select
        record_key,
        source_record_id,
        customer_id
    from {{ source('state', 'customer_sources') }}
),

records as (
    select * from {{ ref('int_records_normalised') }}
),

customers_met as (
    select assigned.customer_id
    from assigned
    inner join released on assigned.record_key = released.record_key
    group by assigned.customer_id
    having count(distinct released.customer_id) > 1
),

records_met as (
    select
        assigned.customer_id,
        coalesce(released.customer_id, 'new') as released_id,
        records.*
    from assigned
    semi join customers_met on assigned.customer_id = customers_met.customer_id
    inner join records on assigned.record_key = records.record_key
    left join released on assigned.record_key = released.record_key
),

values_met as (
    {% for field, column in [
        ('e-mail', 'match_email'),
        ('phone', 'match_phone'),
        ('national id', 'national_id'),
        ('name and birth date',
            "match_first_name || ' ' || match_last_name || ' ' || match_birth_date"),
        ('name and address',
            "match_first_name || ' ' || match_last_name || ' ' || match_street || ' ' || match_house_number"),
        ('name', "match_first_name || ' ' || match_last_name"),
    ] %}
    select
        customer_id,
        released_id,
        source,
        source_record_id,
        '{{ field }}' as field,
        {{ column }} as value
    from records_met
    where {{ column }} is not null
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

-- values that records of several released ids, or of a new and a released one, have in common
meetings as (
    select
        customer_id,
        field,
        value,
        count(distinct released_id) - 1 as met_count,
        count(*) as record_count,
        min(source_record_id) as example,
        mode(source) as main_source
    from values_met
    group by customer_id, field, value
    having count(distinct released_id) > 1
),

met_by_customer_and_field as (
    select
        customer_id,
        field,
        max(met_count) as met_count
    from meetings
    group by customer_id, field
),

met_by_field as (
    select
        'merged_customers' as measure,
        field,
        sum(met_count) as weight
    from met_by_customer_and_field
    group by field
),

met_by_value as (
    select
        'merged_customers' as measure,
        field,
        value,
        sum(met_count) as weight,
        sum(record_count) as record_count,
        min(example) as example,
        mode(main_source) as main_source
    from meetings
    group by field, value
    -- one value that joins a few is ordinary, and there are many of them
    having sum(met_count) >= 10
),

met_by_source as (
    select
        'merged_customers' as measure,
        values_met.source,
        count(distinct values_met.customer_id) as weight
    from values_met
    semi join meetings
        on
            values_met.customer_id = meetings.customer_id
            and values_met.field = meetings.field
            and values_met.value = meetings.value
    where values_met.released_id = 'new'
    group by values_met.source
),

parted as (
    select released.customer_id
    from released
    inner join assigned on released.record_key = assigned.record_key
    group by released.customer_id
    having count(distinct assigned.customer_id) > 1
),

parted_by_source as (
    select
        'split_customers' as measure,
        split_part(released.source_record_id, ':', 1) as source,
        count(distinct released.customer_id) as weight
    from released
    semi join parted on released.customer_id = parted.customer_id
    inner join assigned on released.record_key = assigned.record_key
    where assigned.customer_id <> released.customer_id
    group by source
),

gone_by_source as (
    select
        'withdrawn_customers' as measure,
        split_part(released.source_record_id, ':', 1) as source,
        count(distinct released.customer_id) as weight
    from released
    anti join assigned on released.record_key = assigned.record_key
    group by source
),

causes as (
    select
        measure,
        weight,
        'an equal ' || field || ' in ' || weight || ' of the merges' as cause
    from met_by_field
    union all
    select
        measure,
        weight,
        'one ' || field || ' (' || left(md5(value), 8) || ') that ' || record_count
        || ' records bear, most of them of ' || main_source || ', such as ' || example as cause
    from met_by_value
    union all
    select
        measure,
        weight,
        'new records of ' || source || ' in ' || weight || ' of the customers' as cause
    from met_by_source
    union all
    select
        measure,
        weight,
        'records of ' || source || ' that left ' || weight || ' customers' as cause
    from parted_by_source
    union all
    select
        measure,
        weight,
        'records of ' || source || ' that are gone, of ' || weight || ' customers' as cause
    from gone_by_source
)

select
    measure,
    cast(row_number() over (partition by measure order by weight desc, cause asc) as bigint)
        as place,
    cast(weight as bigint) as weight,
    cause
from causes
qualify place <= 10
