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

{#- A customer id that nobody chose: 80 bits of a digest. At ten million customers the odds of one
    collision are 4 in 100 billion; a test would stop the run. -#}
{% macro new_customer_id(record, salt) -%}
    'cus_' || left(md5({{ record }} || '|' || {{ salt }}), 20)
{%- endmacro %}
