-- Grain: one row per customer, group of fields and distinct value: what survived and what did not.
-- National ids serve to tell people apart and are not published.
select
    customer_id,
    field_group,
    value,
    rank = 1 as is_survivor,
    rank,
    record_count,
    source_record_id,
    decided_by
from {{ ref('int_golden_values_ranked') }}
where field_group <> 'national_id'
