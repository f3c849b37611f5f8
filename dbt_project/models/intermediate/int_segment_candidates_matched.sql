-- Grain: one row per customer and segment whose predicate fits, or whose segment it was in before.
-- One part of the query per rule of seed segment_rules, with the values that the rule looks at in words.
{% set attributes = ref('int_customer_attributes_gathered') %}
{% set stays = ref('int_segment_stays_reopened') %}

{{ segment_candidates(segment_rules(), attributes, stays) }}
