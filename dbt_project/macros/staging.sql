{#- Staging keeps the newest version of each record: the later cursor; without one, or on a tie,
    the later load, then the later file name, so that any order of rows gives the same answer.
    Only records with several versions are ranked: a window over 3.9M web events cost 10 CPU
    seconds more than this, and nearly all of them have one version. -#}
{% macro newest_versions(landed, key, cursor=none) -%}
    with repeated as (
        select {{ key }} from {{ landed }}
        group by {{ key }}
        having count(*) > 1
    )

    select * from {{ landed }}
    anti join repeated using ({{ key }})

    union all

    (
        select * from {{ landed }}
        semi join repeated using ({{ key }})
        qualify row_number() over (
            partition by {{ key }}
            order by
                {% if cursor %}{{ utc(cursor) }} desc nulls last,{% endif %}
                _loaded_at desc,
                _source_file desc,
                _row_hash
        ) = 1
    )
{%- endmacro %}

{#- The casts below read what the landing let in (orchestration/landing/column_types.py) and
    nothing else reaches them, so they fail loudly instead of making nulls. -#}
{% macro yes_no(column) -%}
    lower(trim({{ column }})) in ('true', 't', 'yes', 'y', '1')
{%- endmacro %}

{#- Money and quantities keep four decimals, so that sums equal what was landed. -#}
{% macro amount(column) -%}
    cast({{ column }} as decimal(18, 4))
{%- endmacro %}

{% macro whole_number(column) -%}
    cast({{ column }} as bigint)
{%- endmacro %}

{% macro calendar_date(column) -%}
    cast({{ column }} as date)
{%- endmacro %}
