{#- Whether something dated had happened by the end of the as-of day; undated is not known. -#}
{% macro is_known(column) -%}
    coalesce({{ column }} < {{ as_of_end() }}, false)
{%- endmacro %}

{#- Whether something happened in the last `recent_days` calendar days (UTC) with the as-of day. -#}
{% macro is_recent(column) -%}
    coalesce(
        {{ column }} >= {{ as_of_end() }} - interval {{ var('recent_days') }} day
        and {{ column }} < {{ as_of_end() }},
        false
    )
{%- endmacro %}

{#- Means and medians of exact numbers, so that no order of rows shows in the last bit. -#}
{% macro mean_of(column) -%}
    round(cast(sum({{ column }}) as double) / count({{ column }}), 6)
{%- endmacro %}

{% macro median_of(column) -%}
    round(quantile_cont(cast({{ column }} as double), 0.5), 6)
{%- endmacro %}

{#- A share of counts between 0 and 1; null of nothing. -#}
{% macro share_of(part, whole) -%}
    round(cast({{ part }} as double) / nullif({{ whole }}, 0), 6)
{%- endmacro %}
