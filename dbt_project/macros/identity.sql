{#- A customer id that nobody chose: 80 bits of a digest. At ten million customers the odds of one
    collision are 4 in 100 billion; a test would stop the run. -#}
{% macro new_customer_id(record, salt) -%}
    'cus_' || left(md5({{ record }} || '|' || {{ salt }}), 20)
{%- endmacro %}

{#- The value of the record that a survivorship rule puts first among those that have one.
    `rank` is unique within the customer, so the answer does not depend on row order. The value
    itself may be null: the winner's missing first name is not filled from somebody else's record
    (DuckDB's min_by would skip to the next record; Spark's min_by is what arg_min_null does). -#}
{% macro survivor(value, rank, has_value=none) -%}
    arg_min_null({{ value }}, case when {{ has_value or value ~ ' is not null' }} then {{ rank }} end)
{%- endmacro %}
