{#- Whole calendar days from a UTC timestamp to the as-of day; 0 on the day itself. -#}
{% macro days_before_as_of(column) -%}
    date_diff('day', cast({{ column }} as date), {{ as_of_date() }})
{%- endmacro %}
