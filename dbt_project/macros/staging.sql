{#- Staging keeps the newest version of each record: the later cursor; without one, or on a tie,
    the later load, then the later file name, so that any order of rows gives the same answer. -#}
{% macro newest_version(key, cursor=none) -%}
    row_number() over (
        partition by {{ key }}
        order by
            {% if cursor %}{{ cursor }} desc nulls last, {% endif -%}
            _loaded_at desc,
            _source_file desc,
            _row_hash
    ) = 1
{%- endmacro %}

{#- The landing has already refused every other spelling; empty stays unknown. -#}
{% macro yes_no(column) -%}
    lower({{ column }}) in ('true', 't', 'yes', 'y', '1')
{%- endmacro %}

{#- Money and quantities keep four decimals, so that sums equal what was landed. -#}
{% macro amount(column) -%}
    cast({{ column }} as decimal(18, 4))
{%- endmacro %}
