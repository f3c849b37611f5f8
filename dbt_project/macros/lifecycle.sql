{#- Whole calendar days from a UTC timestamp to the as-of day; 0 on the day itself. -#}
{% macro days_before_as_of(column) -%}
    date_diff('day', cast({{ column }} as date), {{ as_of_date() }})
{%- endmacro %}

{#- The four linearly interpolated quintiles of a column, as a list. -#}
{% macro quintile_cuts(column) -%}
    quantile_cont(cast({{ column }} as double), [0.2, 0.4, 0.6, 0.8])
{%- endmacro %}

{#- 1 to 5: one plus the number of cuts strictly below the value, so equal values score equally. -#}
{% macro quintile_score(value, cuts) -%}
    (
        1
        {%- for position in [1, 2, 3, 4] %}
        + cast(cast({{ value }} as double) > {{ cuts }}[{{ position }}] as integer)
        {%- endfor %}
    )
{%- endmacro %}

{#- The latest but one of the values of a group, equal ones counted each; null with fewer. -#}
{% macro latest_but_one(column) -%}
    list_extract(max({{ column }}, 2), 2)
{%- endmacro %}
