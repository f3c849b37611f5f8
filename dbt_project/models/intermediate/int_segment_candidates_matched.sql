-- Grain: one row per customer and segment whose predicate fits, or in which it was before.
-- One part of the query per rule, with the values that the rule looks at in words.
{% set attributes = ref('int_customer_attributes_gathered') %}
{% set stays = ref('int_segment_stays_reopened') %}

{{ segment_candidates(segment_rules(), attributes, stays) }}
