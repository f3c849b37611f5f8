{#- True when this build only adds to what the last one left: the caller has proven that code,
    parameters and released ids are those of the last build (orchestration/transform/layers.py).
    A plain `dbt build` never is one: it makes everything anew, and the result is the same.
    Marts and models of `intermediate` find what has changed by comparing partitions with their
    input, as of the day: the tables of changes of identity tell of the last build of identity
    alone, which the marts need not have followed, and a day may be built after a later one. -#}
{% macro increment() -%}
    {{ return(env_var('WAREHOUSE_INCREMENT', 'no') == 'yes' and not flags.FULL_REFRESH) }}
{%- endmacro %}

{#- dbt's extension point for `incremental_strategy='replace_changed'`: rows whose key a table of
    changes names are taken out, then what the model returns is put in. The model names both:
    meta={'replaces': {'key': ..., 'changed': ...}}. Outside an increment all rows are replaced. -#}
{% macro get_incremental_replace_changed_sql(arg_dict) -%}
    {%- set replaces = config.get('meta')['replaces'] -%}
    {%- set columns = get_quoted_csv(arg_dict['dest_columns'] | map(attribute='name')) -%}
    {%- set keys = [replaces['key']] if replaces['key'] is string else replaces['key'] -%}
    {%- for key in (keys if increment() else keys[:1]) %}
    delete from {{ arg_dict['target_relation'] }}
    {%- if increment() %}
    where {{ key }} in (
        select {{ replaces.get('changed_key', key) }} from {{ relation_of(replaces['changed']) }}
    )
    {%- endif %};
    {%- endfor %}
    insert into {{ arg_dict['target_relation'] }} ({{ columns }})
    select {{ columns }} from {{ arg_dict['temp_relation'] }}
{%- endmacro %}

{#- The table of another model; the strategy may name one that its model reads in another way. -#}
{% macro relation_of(name) -%}
    {%- set node = graph.nodes.values() | selectattr('resource_type', 'equalto', 'model')
        | selectattr('name', 'equalto', name) | first -%}
    {{ return(api.Relation.create(node.database, node.schema, node.alias)) }}
{%- endmacro %}

{#- Restricts a query to the keys of a table of changes; says nothing when all is made anew. -#}
{% macro only_changed(key, changed, changed_key=none, conjunction='where') -%}
    {%- if increment() -%}
    {{ conjunction }} {{ key }} in (select {{ changed_key or key.split('.')[-1] }} from {{ changed }})
    {%- endif -%}
{%- endmacro %}

{#- Whether this build has to look at a key: all of them, or in an increment those that changed. -#}
{% macro concerns(key, changed, changed_key=none) -%}
    {%- if increment() -%}
    {{ key }} in (select {{ changed_key or key }} from {{ changed }})
    {%- else -%}
    true
    {%- endif -%}
{%- endmacro %}

{#- Whether a key is in a table of changes; false when all is made anew. -#}
{% macro is_changed(key, changed) -%}
    {%- if increment() -%}
    {{ key }} in (select {{ key }} from {{ changed }})
    {%- else -%}
    false
    {%- endif -%}
{%- endmacro %}
