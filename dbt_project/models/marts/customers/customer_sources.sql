-- Grain: one row per record of a person: the crosswalk from every source to the customer.
-- A web visitor is listed only when a login or an order says who it is.
select
    source_record_id,
    customer_id,
    source,
    record_type,
    first_seen_at,
    last_seen_at
from {{ ref('int_customer_sources_resolved') }}
