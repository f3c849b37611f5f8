-- Grain: one row per record of a person, linked web visitors included: the crosswalk.
-- A visitor takes the customer of the account or order that it hangs on.
with records as (
    select * from {{ ref('int_records_normalised') }}
),

clustered as (
    select * from {{ ref('int_records_clustered') }}
),

customers as (
    select * from {{ ref('int_customers_identified') }}
),

visitors as (
    select * from {{ ref('int_visitors_linked') }}
),

people as (
    select
        records.record_number,
        records.source_record_id,
        customers.customer_id,
        records.source,
        records.record_type,
        records.first_seen_at,
        records.last_seen_at
    from records
    inner join clustered on records.record_number = clustered.record_number
    inner join customers on clustered.cluster_number = customers.cluster_number
)

select
    source_record_id,
    customer_id,
    source,
    record_type,
    first_seen_at,
    last_seen_at,
    record_number
from people

union all

select
    visitors.source_record_id,
    people.customer_id,
    'web' as source,
    'visitor' as record_type,
    visitors.first_seen_at,
    visitors.last_seen_at,
    null as record_number
from visitors
inner join people on visitors.linked_record_id = people.source_record_id
