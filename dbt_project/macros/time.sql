{#- The day that the marts speak of. Nothing else may look at a clock. -#}
{% macro as_of_date() -%}
    cast('{{ var("as_of_date", env_var("WAREHOUSE_AS_OF", run_started_at.strftime("%Y-%m-%d"))) }}' as date)
{%- endmacro %}

{#- First instant after the as-of day, UTC: rows before it are known. -#}
{% macro as_of_end() -%}
    cast({{ as_of_date() }} + interval 1 day as timestamp)
{%- endmacro %}

{#- ISO 8601 text to a UTC timestamp; the session's zone is UTC (profiles.yml), so a text without
    zone is UTC. A direct cast to timestamp would silently drop the offset (DuckDB 1.5), and a cast
    from timestamptz goes through a calendar: four times slower than its microseconds. The second
    try is for `2026-01-31T10:00Z`, which ISO allows and DuckDB does not read. -#}
{% macro utc(column) -%}
    make_timestamp(epoch_us(coalesce(
        try_cast({{ column }} as timestamptz),
        cast(
            regexp_replace({{ column }}, '^(.{10}[T ][0-9]{2}:[0-9]{2})(Z|[+-].*)$', '\1:00\2')
            as timestamptz
        )
    )))
{%- endmacro %}

{#- Rows (day) from the first day up to, and without, the end. -#}
{% macro every_day(first_day, end) -%}
    select cast(range as date) as day
    from range(cast('{{ first_day }}' as timestamp), cast({{ end }} as timestamp), interval 1 day)
{%- endmacro %}

{#- First day of the calendar month, UTC. -#}
{% macro month_of(column) -%}
    cast(date_trunc('month', {{ column }}) as date)
{%- endmacro %}

{#- Whole calendar days from one date to another. -#}
{% macro days_between(earlier, later) -%}
    date_diff('day', {{ earlier }}, {{ later }})
{%- endmacro %}

{#- A date so many days later. -#}
{% macro plus_days(day, days) -%}
    cast({{ day }} + cast({{ days }} as integer) as date)
{%- endmacro %}

{#- Whole seconds from one instant to another, rounded down; null when it would be negative. -#}
{% macro seconds_between(earlier, later) -%}
    case
        when {{ later }} >= {{ earlier }}
            then cast((epoch_us({{ later }}) - epoch_us({{ earlier }})) // 1000000 as bigint)
    end
{%- endmacro %}
