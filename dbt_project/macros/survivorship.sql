{#- Groups of fields that survive together, in the order in which people read them. -#}
{% macro field_groups() -%}
    {{ return([
        'name', 'email', 'phone', 'birth_date', 'gender', 'national_id', 'address', 'company',
    ]) }}
{%- endmacro %}

{#- A delivery event that cannot happen unless the mail arrived. -#}
{% macro shows_receipt(event_type) -%}
    {{ event_type }} in ('delivered', 'open', 'opened', 'click', 'clicked')
{%- endmacro %}

{#- 2 for a written out part of a name, 1 for an initial, 0 for none. Scripts without upper and
    lower case have names of one character. -#}
{% macro name_part_completeness(part) -%}
    case
        when {{ part }} is null then 0
        when length({{ part }}) > 2 then 2
        when length(replace({{ part }}, '.', '')) < 2 and lower({{ part }}) <> upper({{ part }})
            then 1
        else 2
    end
{%- endmacro %}

{#- The three columns field_group, value and completeness: one row per group of fields from one row
    per record. One pass over the records; a union of eight, one a group, costs a quarter more. -#}
{% macro claims_of_record() -%}
    unnest(['{{ field_groups() | join("', '") }}']) as field_group,
    unnest([
        nullif(concat_ws(' ', first_name, last_name), ''),
        email,
        phone,
        cast(birth_date as varchar),
        gender,
        national_id,
        case
            when coalesce(street, city, postcode) is not null
                then concat_ws(', ', street, city, postcode, country)
        end,
        company
    ]) as value,
    unnest([
        {{ name_part_completeness('first_name') }} + {{ name_part_completeness('last_name') }},
        1, 1, 1, 1, 1,
        cast(street is not null as integer) + cast(city is not null as integer)
        + cast(postcode is not null as integer) + cast(country is not null as integer),
        1
    ]) as completeness
{%- endmacro %}

{#- Microseconds from a timestamp to a day that no record will see; undated is older than all. -#}
{% macro age_in_microseconds(column) -%}
    coalesce(4611686018427387904 - epoch_us({{ column }}), 9223372036854775807)
{%- endmacro %}

{#- Place of a claim among those for the same value: one integer, lowest wins. The record that
    splits the same words into more fields comes first, then source and age in the order of the
    rules, then source_record_id. One that a steward rectified comes before all those, the last one
    first: 10^28 is more than any of them. One integer: grouping three million claims costs 4 CPU
    seconds with it and 7 with a struct. -#}
{% macro claim_key() -%}
    case
        when rectified_at is not null
            then
                {{ age_in_microseconds('rectified_at') }}
                - cast('10000000000000000000000000000' as hugeint)
        when is_age_first
            then (
                (cast(9 - completeness as hugeint) * 9223372036854775808 + age) * 10000000 + priority
            )
        else (cast(9 - completeness as hugeint) * 10000000 + priority) * 9223372036854775808 + age
    end * 1048576 + place
{%- endmacro %}

{#- rule_1 to rule_5 with score_1 to score_5: what a value scores under each rule of its list; more
    is better. -#}
{% macro survivorship_scores(rules) -%}
    {%- for place in range(1, 6) %}
    {{ rules }}.rule_{{ place }},
    case {{ rules }}.rule_{{ place }}
        when 'source_priority' then -priority
        when 'most_recent' then -age
        when 'most_frequent' then record_count
        when 'most_complete' then completeness
        when 'verified_first' then cast(is_verified as bigint)
    end as score_{{ place }}{{ ',' if not loop.last }}
    {%- endfor %}
{%- endmacro %}

{#- The rules in order; one that is not listed tells nobody apart. -#}
{% macro survivorship_order() -%}
    {%- for place in range(1, 6) -%}
        score_{{ place }} desc nulls last{{ ', ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{#- What the survivor and the runner-up score under each rule, in a window over the values. -#}
{% macro rival_scores(preference) -%}
    {%- for place in range(1, 6) %}
    first_value(score_{{ place }}) over {{ preference }} as survivor_score_{{ place }},
    lead(score_{{ place }}) over {{ preference }} as next_score_{{ place }}{{ ',' if not loop.last }}
    {%- endfor %}
{%- endmacro %}

{#- First rule that tells a value from its rival: the survivor from the runner-up, any other value
    from the survivor. -#}
{% macro deciding_rule() -%}
    case
        {%- for place in range(1, 6) %}
        when score_{{ place }}
            <> case when rank = 1 then next_score_{{ place }} else survivor_score_{{ place }} end
            then rule_{{ place }}
        {%- endfor %}
        else 'source_record_id'
    end
{%- endmacro %}
