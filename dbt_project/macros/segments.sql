{#- The rules of seed segment_rules, in the order of their names; none while nothing has been built.
    A predicate is SQL and is put into the query as it stands: orchestration/transform/segments.py
    has proven before a run that it reads nothing but the columns of the attributes. All other texts
    of a rule stay in the seed or are quoted. Unit tests override this macro. -#}
{% macro segment_rules() -%}
    {%- set seed = ref('segment_rules') -%}
    {%- set rules = [] -%}
    {%- if execute and load_relation(seed) is not none -%}
        {%- set found = run_query('select segment, predicate from ' ~ seed ~ ' order by segment') -%}
        {%- for row in found.rows -%}
            {%- do rules.append({'segment': row[0], 'predicate': row[1]}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(rules) }}
{%- endmacro %}

{#- Rows (customer_id, segment, is_match, attribute_values): who fits a rule, and who is still in its
    segment and fits no more. attributes, stays: relations; a stay without left_on is open. -#}
{% macro segment_candidates(rules, attributes, stays) -%}
    {%- for rule in rules %}
    {{ 'union all' if not loop.first }}
    select
        customer_id,
        {{ quoted_text(rule.segment) }} as segment,
        is_match,
        {{ attribute_values(rule.predicate) }} as attribute_values
    from (
        select
            *,
            coalesce((
                {{ rule.predicate }}
            ), false) as is_match
        from {{ attributes }}
    ) as judged
    where
        is_match
        or customer_id in (
            select customer_id from {{ stays }}
            where segment = {{ quoted_text(rule.segment) }} and left_on is null
        )
    {%- else %}
    select
        cast(null as {{ dbt.type_string() }}) as customer_id,
        cast(null as {{ dbt.type_string() }}) as segment,
        false as is_match,
        cast(null as {{ dbt.type_string() }}) as attribute_values
    from {{ attributes }}
    where false
    {%- endfor %}
{%- endmacro %}

{#- What a customer has in the columns that a predicate names: `recency_score 5, gender female`. -#}
{% macro attribute_values(predicate) -%}
    {%- set parts = [] -%}
    {%- for column in attributes_named(predicate) -%}
        {%- do parts.append("'" ~ column ~ " ' || coalesce(cast(" ~ column ~ " as " ~ dbt.type_string() ~ "), 'unknown')") -%}
    {%- endfor -%}
    {{ return(parts | join(" || ', ' || ") if parts else "'every customer'") }}
{%- endmacro %}

{#- Documented columns that a predicate names and those told with them, each once, in its order;
    texts in it are skipped. -#}
{% macro attributes_named(predicate) -%}
    {%- set named = [] -%}
    {%- set documented = segment_attributes() -%}
    {%- set code = modules.re.sub("'[^']*'", "''", predicate | lower) -%}
    {%- for word in modules.re.findall('[a-z_][a-z0-9_]*', code) if word in documented -%}
        {%- for column in [word] + documented[word] -%}
            {%- if column not in named + ['customer_id', 'as_of_date'] -%}
                {%- do named.append(column) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(named) }}
{%- endmacro %}

{#- Columns of the board of int_customer_attributes_gathered with those that it tells with them.
    Unit tests override this macro: they do not see the boards. -#}
{% macro segment_attributes() -%}
    {%- set documented = {} -%}
    {%- if execute -%}
        {%- set model = graph.nodes['model.customer_warehouse.int_customer_attributes_gathered'] -%}
        {%- for name, column in model.columns.items() -%}
            {%- do documented.update({name: column.meta.get('told_with', [])}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(documented) }}
{%- endmacro %}

{% macro quoted_text(text) -%}
    '{{ text | replace("'", "''") }}'
{%- endmacro %}

{#- The band of an age in years; null for none. -#}
{% macro age_band(age) -%}
    case
        when {{ age }} < 18 then 'under 18'
        when {{ age }} < 25 then '18-24'
        when {{ age }} < 35 then '25-34'
        when {{ age }} < 45 then '35-44'
        when {{ age }} < 55 then '45-54'
        when {{ age }} < 65 then '55-64'
        when {{ age }} >= 65 then '65 and over'
    end
{%- endmacro %}

{#- The channels in which a customer can be engaged. -#}
{% macro engagement_channels() -%}
    {{ return(['mail', 'web', 'support', 'shop', 'pos']) }}
{%- endmacro %}
