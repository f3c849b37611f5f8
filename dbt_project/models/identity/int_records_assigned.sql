-- Grain: one row per record of a person with its customer; web visitors come in the crosswalk.
-- A record is never without a customer: one that matches nothing is a customer of its own.
{{ config(
    materialized='incremental',
    incremental_strategy='replace_changed',
    meta={'replaces': {'key': 'record_key', 'changed': 'int_records_touched'}}
) }}

with clustered as (
    select
        record_key,
        cluster_key
    from {{ ref('int_records_clustered') }}
    {{ only_changed('record_key', ref('int_records_touched')) }}
),

customers as (
    select * from {{ ref('int_customers_identified') }}
)

select
    clustered.record_key,
    customers.customer_id,
    {{ hash_of(['customers.customer_id']) }} as customer_key
from clustered
inner join customers on clustered.cluster_key = customers.cluster_key
