{#- A 64-bit number for a text or several values: the keys of records, profiles and blocks. At ten
    million records the odds that two share one are 3 in a million; the gates would say so. DuckDB
    may change its hash with a version: such keys never leave the working database.
    By itself DuckDB's hash (1.5.5) is weak for texts of 16 bytes and more: shop:727078000011 and
    shop:720078000041 share one, and of 5 million card numbers 36. What differs in the bytes that it
    mixes badly is mixed well in the text from its second letter on, so of a single text both count:
    0 of 5 million. -#}
{% macro hash_of(values) -%}
    hash({{ values | join(', ') }}{% if values | length == 1 %}, substr({{ values[0] }}, 2){% endif %})
{%- endmacro %}

{#- Hash of all values that identity reads of a record. -#}
{% macro values_hash() -%}
    {{ hash_of([
        'source', 'record_type', 'first_name', 'last_name', 'email', 'substr(email, 2)', 'phone',
        'birth_date',
        'gender', 'national_id', 'street', 'city', 'postcode', 'country', 'company',
        'first_seen_at', 'last_seen_at', 'updated_at',
    ]) }}
{%- endmacro %}

{#- Hash of all that identity knows of a record: what its source and what stewards say. -#}
{% macro row_hash(values, decided, rectified) -%}
    xor(xor({{ values }}, coalesce({{ decided }}, 0)), coalesce({{ rectified }}, 0))
{%- endmacro %}

{#- Rows (record_key, decided_hash) of the records that steward's decisions in force name. -#}
{% macro decided_records(decisions) -%}
    select
        {{ hash_of(['source_record_id']) }} as record_key,
        bit_xor({{ hash_of(['decision_id', 'verdict', 'other_source_record_id']) }})
            as decided_hash
    from (
        select source_record_id, other_source_record_id, decision_id, verdict from {{ decisions }}
        union all
        select other_source_record_id, source_record_id, decision_id, verdict from {{ decisions }}
    )
    group by 1
{%- endmacro %}

{#- Field of a person that a steward can rectify -> the group in which it survives. -#}
{% macro rectifiable_fields() -%}
    {{ return({
        'first_name': 'name', 'last_name': 'name', 'email': 'email', 'phone': 'phone',
        'birth_date': 'birth_date', 'gender': 'gender', 'national_id': 'national_id',
        'street': 'address', 'city': 'address', 'postcode': 'address', 'country': 'address',
        'company': 'company',
    }) }}
{%- endmacro %}

{#- Rows (record_key, rectified_hash) of the records of which a steward rectified something. -#}
{% macro rectified_records(rectifications) -%}
    select
        record_key,
        bit_xor({{ hash_of(['rectification_id']) }}) as rectified_hash
    from {{ rectifications }}
    group by 1
{%- endmacro %}

{#- The columns of records that can be rectified, each with the steward's word in its place where
    there is one. rectified: rows of `rectified_values`, joined from the left. -#}
{% macro rectified_columns(records, rectified) -%}
    {%- for field in rectifiable_fields() %}
    case when {{ rectified }}.has_{{ field }} then {{ rectified }}.{{ field }} else {{ records }}.{{ field }} end
        as {{ field }}{{ ',' if not loop.last }}
    {%- endfor %}
{%- endmacro %}

{#- Rows (record_key, has_<field>, <field>, ...) of records of which a steward rectified something;
    a value that was cleared is there and null. One row for each field, so `max` picks nothing. -#}
{% macro rectified_values(rectifications) -%}
    select
        record_key,
        {%- for field in rectifiable_fields() %}
        bool_or(field = '{{ field }}') as has_{{ field }},
        max(case when field = '{{ field }}' then {{ 'cast(value as date)' if field == 'birth_date' else 'value' }} end)
            as {{ field }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ rectifications }}
    group by record_key
{%- endmacro %}

{#- A customer id that nobody chose: 80 bits of a digest. At ten million customers the odds of one
    collision are 4 in 100 billion; a test would stop the run. -#}
{% macro new_customer_id(record, salt) -%}
    'cus_' || left(md5({{ record }} || '|' || {{ salt }}), 20)
{%- endmacro %}
