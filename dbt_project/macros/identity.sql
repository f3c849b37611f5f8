{#- A customer id that nobody chose: 80 bits of a digest. At ten million customers the odds of one
    collision are 4 in 100 billion; a test would stop the run. -#}
{% macro new_customer_id(record, salt) -%}
    'cus_' || left(md5({{ record }} || '|' || {{ salt }}), 20)
{%- endmacro %}

{#- Priority of a source for a group of fields (seed survivorship_rules); unlisted comes last. -#}
{% macro priority_of(field_group) -%}
    cast(coalesce(max(case when field_group = '{{ field_group }}' then priority end), 99) as bigint)
{%- endmacro %}

{#- Place of a record among its customer's for a group of fields: one integer, lowest wins. -#}
{% macro survivor_rank(field_group) -%}
    coalesce(rules.{{ field_group }}_priority, cast(99 as bigint)) * 100000000 + ranked.recency_rank
{%- endmacro %}

{#- The value of the record that ranks first for a group of fields among those that have it.
    Ranks are unique within the customer, so the answer does not depend on row order. The value
    itself may be null: the winner's missing first name is not filled from somebody else's record
    (DuckDB's min_by would skip to the next record; Spark's min_by is what arg_min_null does). -#}
{% macro survivor(value, field_group, has_value=none) -%}
    arg_min_null(
        {{ value }},
        case when {{ has_value or field_group ~ ' is not null' }} then {{ field_group }}_rank end
    )
{%- endmacro %}
