{#- The day that the marts speak of. Nothing else may look at a clock. -#}
{% macro as_of_date() -%}
    cast('{{ var("as_of_date", env_var("WAREHOUSE_AS_OF", run_started_at.strftime("%Y-%m-%d"))) }}' as date)
{%- endmacro %}

{#- First instant after the as-of day, UTC: rows before it are known. -#}
{% macro as_of_end() -%}
    cast({{ as_of_date() }} + interval 1 day as timestamp)
{%- endmacro %}

{#- ISO 8601 text to a UTC timestamp; the session's zone is UTC (profiles.yml).
    A direct cast to timestamp would silently drop the offset (DuckDB 1.5). -#}
{% macro utc(column) -%}
    cast(cast({{ column }} as timestamptz) as timestamp)
{%- endmacro %}
