{#- Letters only, lower case, without accents: "O'Brien-Müller" becomes "obrienmuller". -#}
{% macro normalise_name(column) -%}
    nullif(regexp_replace(lower(strip_accents({{ column }})), '[^\p{L}]', '', 'g'), '')
{%- endmacro %}

{#- Lower case without surrounding blanks; null when it cannot be an address. -#}
{% macro normalise_email(column) -%}
    case
        when regexp_matches(trim({{ column }}), '^[^@\s]+@[^@\s]+\.[^@\s]+$')
            then lower(trim({{ column }}))
    end
{%- endmacro %}

{#- Upper case letters and digits only: "sw1a 1aa" becomes "SW1A1AA". -#}
{% macro normalise_postcode(column) -%}
    nullif(regexp_replace(upper({{ column }}), '[^0-9A-Z]', '', 'g'), '')
{%- endmacro %}

{#- Digits of a phone number: extension and the "(0)" of "+44 (0)20" cut off. -#}
{% macro phone_digits(column) -%}
    regexp_replace(
        regexp_replace({{ column }}, '\(0\)|(?i)(ext|x|#).*$', '', 'g'), '[^0-9]', '', 'g'
    )
{%- endmacro %}

{#- E.164 from digits and the dialling plan of the country (alias `plan`, reference.phone_plans):
    with "+" the number is complete, with the international prefix too once that is cut; otherwise
    the trunk prefix goes and the calling code comes. Null when the length does not fit. -#}
{% macro phone_e164(phone, digits, plan) -%}
    case
        when length({{ digits }}) < 7 then null
        -- 0000000, 123456789: somebody had to fill the field
        when replace(right({{ digits }}, 7), right({{ digits }}, 1), '') = '' then null
        when ltrim({{ digits }}, '0') in ('1234567', '12345678', '123456789', '1234567890') then null
        when trim({{ phone }}, ' (') like '+%'
            then case when length({{ digits }}) <= 15 then '+' || {{ digits }} end
        when starts_with({{ digits }}, {{ plan }}.international_prefix)
            then case
                when length({{ digits }}) - length({{ plan }}.international_prefix) between 7 and 15
                    then '+' || substr({{ digits }}, length({{ plan }}.international_prefix) + 1)
            end
        when length({{ plan }}.trunk_prefix) > 0
            and starts_with({{ digits }}, {{ plan }}.trunk_prefix)
            and length({{ digits }}) - length({{ plan }}.trunk_prefix)
            between {{ plan }}.min_length and {{ plan }}.max_length
            then '+' || {{ plan }}.calling_code
                || substr({{ digits }}, length({{ plan }}.trunk_prefix) + 1)
        when length({{ digits }}) between {{ plan }}.min_length and {{ plan }}.max_length
            then '+' || {{ plan }}.calling_code || {{ digits }}
    end
{%- endmacro %}

{#- "Doe, Jane" and "Jane Mary Doe" both have the family name Doe. -#}
{% macro family_name_of(full_name) -%}
    nullif(trim(case
        when {{ full_name }} like '%,%' then split_part({{ full_name }}, ',', 1)
        else regexp_extract(trim({{ full_name }}), '(\S+)$', 1)
    end), '')
{%- endmacro %}

{#- What is left of the family name, or the whole of a single word. -#}
{% macro given_name_of(full_name) -%}
    nullif(trim(case
        when {{ full_name }} like '%,%' then split_part({{ full_name }}, ',', 2)
        else regexp_extract(trim({{ full_name }}), '^(.*\S)\s+\S+$', 1)
    end), '')
{%- endmacro %}
