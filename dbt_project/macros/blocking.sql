{#- The blocking keys: name, the value of a profile as SQL, and the largest block that is still
    compared. A block over its cap is not compared at all: a value on so many profiles is no
    evidence, and finer keys find the pairs that matter. Broad keys have a small cap and pay in
    small landings only: of a million records they bring a third of the pairs and one match in a
    thousand, so they are left out of landings above the size class `most`. The address has no part
    of a name: all who live together must be seen to tell how often that is one person. E-mails
    meet by the beginning of their provider, so that a misspelt one is found too. -#}
{% macro blocking_keys() -%}
    {#- least() and greatest() skip nulls: with one name missing both would be the other -#}
    {%- set both = "case when first_name_canonical is not null and last_name is not null then " -%}
    {%- set names = [
        both ~ "least(first_name_canonical, last_name) end",
        both ~ "greatest(first_name_canonical, last_name) end",
    ] -%}
    {{ return([
        {'name': 'email', 'cap': 100, 'parts': ['mailbox', 'left(email_domain, 2)']},
        {'name': 'phone', 'cap': 100, 'parts': ['phone']},
        {'name': 'national_id', 'cap': 100, 'parts': ['national_id']},
        {'name': 'last_name_birth_date', 'cap': 100, 'parts': ['last_name', 'birth_date']},
        {'name': 'first_name_birth_date', 'cap': 100, 'parts': ['first_name_canonical', 'birth_date']},
        {'name': 'birth_date_postcode', 'cap': 100, 'parts': ['birth_date', 'postcode']},
        {'name': 'names', 'cap': 8, 'parts': names},
        {'name': 'names_postcode', 'cap': 100,
         'parts': ['left(' ~ names[0] ~ ', 3)', 'left(' ~ names[1] ~ ', 3)', 'postcode']},
        {'name': 'address', 'cap': 30,
         'parts': ['house_number', 'left(street, 4)', 'coalesce(postcode, city)']},
        {'name': 'mailbox', 'cap': 100, 'most': 262144,
         'parts': ['case when length(mailbox) >= 5 then mailbox end',
                   'left(coalesce(first_name_canonical, last_name), 2)']},
        {'name': 'name_starts', 'cap': 10, 'most': 262144,
         'parts': ['left(first_name_canonical, 3)', 'left(last_name, 3)']},
        {'name': 'birth_date', 'cap': 10, 'most': 262144, 'parts': ['birth_date']},
        {'name': 'last_name_postcode', 'cap': 20, 'most': 262144, 'parts': ['last_name', 'postcode']},
        {'name': 'street', 'cap': 20, 'most': 262144, 'parts': ['left(street, 6)', 'postcode']},
        {'name': 'last_name_city', 'cap': 10, 'most': 262144, 'parts': ['left(last_name, 4)', 'city']},
        {'name': 'first_name_city', 'cap': 10, 'most': 262144,
         'parts': ['left(first_name_canonical, 4)', 'city']},
    ]) }}
{%- endmacro %}

{#- Rows (profile_key, key_number, block) for the profiles of a relation; a key with a missing part
    gives none. Blocks are 64-bit hashes of the key's number and parts. `size`: the size class of
    the landing, as SQL. -#}
{% macro blocking_keys_of(profiles, size) -%}
    {%- for key in blocking_keys() %}
    {{ 'union all' if not loop.first }}
    select
        profile_key,
        cast({{ loop.index0 }} as utinyint) as key_number,
        {{ hash_of([loop.index0 | string] + key.parts) }} as block
    from {{ profiles }}
    where
        {% if key.most is defined %}{{ size }} <= {{ key.most }} and {% endif -%}
        {% for part in key.parts %}{{ ' and ' if not loop.first }}({{ part }}) is not null{% endfor %}
    {%- endfor %}
{%- endmacro %}

{#- The largest block of a key that is compared, as SQL over `key_number`. -#}
{% macro block_cap(key_number='key_number') -%}
    case {{ key_number }}
        {%- for key in blocking_keys() %} when {{ loop.index0 }} then {{ key.cap }}{% endfor %}
    end
{%- endmacro %}

{#- Number of the key whose block is everybody with the same two names, in any order. -#}
{% macro names_key() -%}
    {{ return((blocking_keys() | map(attribute='name') | list).index('names')) }}
{%- endmacro %}

{% macro names_cap() -%}
    {{ return(blocking_keys()[names_key()].cap) }}
{%- endmacro %}

{#- Blocks of a relation of keys that are compared: more than one profile, none over its cap. -#}
{% macro blocks_compared(keys) -%}
    select
        block,
        count(*) as size
    from {{ keys }}
    group by block, key_number
    having count(*) between 2 and {{ block_cap() }}
{%- endmacro %}

{#- Candidate pairs, each once, smaller key first, from keys (profile_key, key_number, block, size)
    of blocks that are compared. `keys` has one bit per blocking key that brought the pair;
    `namesakes` is how many profiles have both names of the pair, null when they differ or are a
    crowd's. Both travel in one integer, because that is one aggregate instead of two. -#}
{% macro candidate_pairs_of(keys) -%}
    {%- set place = blocking_keys() | length %}
    select
        profile_key,
        other_profile_key,
        brought_by & {{ 2 ** place - 1 }} as keys,
        cast(nullif(brought_by >> {{ place }}, 0) as utinyint) as namesakes
    from (
        select
            one.profile_key,
            other.profile_key as other_profile_key,
            bit_or(
                (cast(1 as integer) << cast(one.key_number as integer))
                + case
                    when one.key_number = {{ names_key() }}
                        then cast(one.size as integer) << {{ place }}
                    else 0
                end
            ) as brought_by
        from {{ keys }} as one
        inner join {{ keys }} as other
            on one.block = other.block and one.profile_key < other.profile_key
        group by one.profile_key, other.profile_key
    ) as pairs
{%- endmacro %}
