{#- Whether a word is in a text of words with bars between, as seeds write lists: `email|sms`. -#}
{% macro is_listed(word, words) -%}
    coalesce(contains('|' || {{ words }} || '|', '|' || {{ word }} || '|'), false)
{%- endmacro %}

{#- The day from which on counts what has no date: before everything that has one. -#}
{% macro since_ever() -%}
    cast('1900-01-01' as date)
{%- endmacro %}

{#- The day that never comes: where a period that still holds ends. -#}
{% macro for_ever() -%}
    cast('9999-12-31' as date)
{%- endmacro %}

{#- The channels by which a customer can be contacted, with the column of customers that they need. -#}
{% macro contact_channels() -%}
    {{ return({'email': 'email', 'sms': 'phone'}) }}
{%- endmacro %}

{#- What phone numbers are recognised by, as match_phone of int_records_normalised: the last nine
    digits, so that a number that was written without its country is the same. -#}
{% macro phone_subject(phone, digits, plan) -%}
    coalesce(right({{ phone_e164(phone, digits, plan) }}, 9), {{ phone_tail(digits) }})
{%- endmacro %}
