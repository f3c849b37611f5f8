-- Grain: one row per record of a person, linked web visitors included: the crosswalk.
-- A visitor takes the customer of the account or order that it hangs on.
{{ config(materialized='view') }}

with records as (
    select * from {{ ref('int_records_normalised') }}
),

assigned as (
    select * from {{ ref('int_records_assigned') }}
),

visitors as (
    select * from {{ ref('int_visitors_linked') }}
)

select
    records.source_record_id,
    assigned.customer_id,
    records.source,
    records.record_type,
    records.first_seen_at,
    records.last_seen_at,
    records.record_key
from records
inner join assigned on records.record_key = assigned.record_key

union all

select
    visitors.source_record_id,
    assigned.customer_id,
    'web' as source,
    'visitor' as record_type,
    visitors.first_seen_at,
    visitors.last_seen_at,
    null as record_key
from visitors
inner join assigned on {{ hash_of(['visitors.linked_record_id']) }} = assigned.record_key
