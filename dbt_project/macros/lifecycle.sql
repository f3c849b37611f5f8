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

{#- The second latest of a column's values, null when there is one only; of two at one instant the
    second is as late as the first. A window with `lag` sorts all rows for the same answer. -#}
{% macro second_latest(column) -%}
    max({{ column }}, 2)[2]
{%- endmacro %}

{#- Whole years from a birth date to the as-of day; who was born on 29 February turns a year older
    on 1 March where there is none. -#}
{% macro age_years(birth_date) -%}
    cast(
        extract(year from {{ as_of_date() }}) - extract(year from {{ birth_date }})
        - case
            when
                (extract(month from {{ as_of_date() }}), extract(day from {{ as_of_date() }}))
                < (extract(month from {{ birth_date }}), extract(day from {{ birth_date }}))
                then 1
            else 0
        end as bigint
    )
{%- endmacro %}
