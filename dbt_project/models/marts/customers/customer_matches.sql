-- Grain: one row per pair of records that was linked, refused, decided or is left to a person: why.
-- Levels and bits only, no value of a person; two customers in one row are two on purpose.
select
    customer_id,
    other_customer_id,
    source_record_id,
    other_source_record_id,
    outcome,
    match_probability,
    match_weight,
    shared_contacts,
    prior_bits,
    {% for comparison in comparisons() -%}
    {{ comparison.name }}_level,
    {{ comparison.name }}_bits,
    {% endfor -%}
    frequency_bits,
    refused_reason,
    decision_id,
    decided_by,
    decided_at,
    decision_reason
from {{ ref('int_matches_explained') }}
