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

{#- Whole years from a birth date to the as-of day. Who was born on 29 February is a year older on
    1 March of a common year. Null for a birth in the future or more than 120 years ago. -#}
{% macro age_years(birth_date) -%}
    {%- set years -%}
        (
            year({{ as_of_date() }}) - year({{ birth_date }})
            - case
                when
                    month({{ as_of_date() }}) * 100 + day({{ as_of_date() }})
                    < month({{ birth_date }}) * 100 + day({{ birth_date }}) then 1
                else 0
            end
        )
    {%- endset -%}
    case when {{ years }} between 0 and 120 then cast({{ years }} as bigint) end
{%- endmacro %}

{#- The date before which one in a hundred lies, one of them itself; null without dates. -#}
{% macro earliest_hundredth(day) -%}
    quantile_disc({{ day }}, 0.01)
{%- endmacro %}

{#- First day of the calendar period that a date or time lies in; weeks begin on Monday. -#}
{% macro period_start(period, column) -%}
    {%- if period not in ['day', 'week', 'month', 'quarter', 'year'] -%}
        {{ exceptions.raise_compiler_error(
            "cohort_period is '" ~ period ~ "'; it can be day, week, month, quarter or year.") }}
    {%- endif -%}
    cast(date_trunc('{{ period }}', {{ column }}) as date)
{%- endmacro %}

{#- Calendar periods from one period's first day to another's. -#}
{% macro periods_between(period, earlier, later) -%}
    date_diff('{{ period }}', {{ earlier }}, {{ later }})
{%- endmacro %}

{#- First day of the period so many periods later. -#}
{% macro plus_periods(period, start, periods) -%}
    cast({{ start }} + {{ periods }} * interval 1 {{ period }} as date)
{%- endmacro %}

{#- A relation with one column `number`: the whole numbers from 0 up to a scalar query's value. -#}
{% macro numbers_up_to(highest) -%}
    (select unnest(range(0, {{ highest }} + 1)) as number)
{%- endmacro %}

{#- Months since the year 0, so that the month before January is one less. -#}
{% macro month_number(day) -%}
    (12 * year({{ day }}) + month({{ day }}) - 1)
{%- endmacro %}

{#- First day of a month given by its number. -#}
{% macro month_of_number(number) -%}
    make_date({{ number }} // 12, {{ number }} % 12 + 1, 1)
{%- endmacro %}

{#- Number of the last month whose end is on the given day or before it; the month of the as-of day
    ends with that day. -#}
{% macro last_month_ended_by(day) -%}
    case
        when {{ day }} >= {{ as_of_date() }} then {{ month_number(as_of_date()) }}
        else {{ month_number(plus_days(day, 1)) }} - 1
    end
{%- endmacro %}
