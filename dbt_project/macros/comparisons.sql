{#- What is compared between two profiles, in the order of the digits of a pattern. A pattern is
    one integer: the levels as digits of a mixed-radix number, the first comparison lowest, so it
    decodes into levels and, through seed match_levels, into bits. Level 0 is "not comparable". -#}
{% macro comparisons() -%}
    {{ return([
        {'name': 'first_name', 'levels': 9},
        {'name': 'last_name', 'levels': 5},
        {'name': 'birth_date', 'levels': 5},
        {'name': 'email', 'levels': 7},
        {'name': 'phone', 'levels': 5},
        {'name': 'address', 'levels': 6},
        {'name': 'national_id', 'levels': 4},
    ]) }}
{%- endmacro %}

{#- The pattern of two profiles. Every CASE tries equality first and the costly functions last:
    jaro_winkler_similarity costs 200 ns a call, DuckDB only calls it for rows that reach it. -#}
{% macro pattern(one, other) -%}
    {%- set place = namespace(value=1) -%}
    cast(
    {%- for comparison in comparisons() %}
        {{ '+ ' if not loop.first }}{{ place.value }} * ({{
            context['compare_' ~ comparison.name](one, other)
        }})
        {%- set place.value = place.value * comparison.levels -%}
    {%- endfor %}
    as integer)
{%- endmacro %}

{#- The level of one comparison within a pattern. -#}
{% macro level_of(name, pattern='pattern') -%}
    {%- set place = namespace(value=1) -%}
    {%- for comparison in comparisons() -%}
        {%- if comparison.name == name -%}
            {{ pattern }} // {{ place.value }} % {{ comparison.levels }}
        {%- endif -%}
        {%- set place.value = place.value * comparison.levels -%}
    {%- endfor -%}
{%- endmacro %}

{% macro pattern_count() -%}
    {%- set product = namespace(value=1) -%}
    {%- for comparison in comparisons() -%}
        {%- set product.value = product.value * comparison.levels -%}
    {%- endfor -%}
    {{ return(product.value) }}
{%- endmacro %}

{#- 1 exact, 2 nickname, 3 close or short for one name, 4 initial or short form, 5 similar, 6 different, 7 swapped: each
    name of one is the other name of the other, 8 crossed: one of them is (at 7 and 8 the last name
    is not compared). -#}
{% macro compare_first_name(one, other) -%}
    case
        when {{ one }}.first_name is null or {{ other }}.first_name is null then 0
        when {{ one }}.first_name = {{ other }}.first_name then 1
        when {{ one }}.first_name_canonical = {{ other }}.first_name_canonical then 2
        when {{ one }}.last_name = {{ other }}.first_name
            then case when {{ one }}.first_name = {{ other }}.last_name then 7 else 8 end
        when {{ one }}.first_name = {{ other }}.last_name then 8
        when jaro_winkler_similarity({{ one }}.first_name, {{ other }}.first_name) >= 0.92
            or {{ may_be_one_name(
                one ~ '.first_name', one ~ '.formal_names', other ~ '.first_name', other ~ '.formal_names'
            ) }} then 3
        when starts_with({{ one }}.first_name, {{ other }}.first_name)
            or starts_with({{ other }}.first_name, {{ one }}.first_name) then 4
        when jaro_winkler_similarity({{ one }}.first_name, {{ other }}.first_name) >= 0.8 then 5
        else 6
    end
{%- endmacro %}

{#- 1 exact, 2 close, 3 similar or one of a double name, 4 different. -#}
{% macro compare_last_name(one, other) -%}
    case
        when {{ one }}.last_name is null or {{ other }}.last_name is null then 0
        when {{ one }}.last_name = {{ other }}.last_name then 1
        when {{ one }}.first_name <> {{ other }}.first_name
            and ({{ one }}.last_name = {{ other }}.first_name
                or {{ one }}.first_name = {{ other }}.last_name) then 0
        when jaro_winkler_similarity({{ one }}.last_name, {{ other }}.last_name) >= 0.92 then 2
        when jaro_winkler_similarity({{ one }}.last_name, {{ other }}.last_name) >= 0.82
            or contains({{ one }}.last_name, {{ other }}.last_name)
            or contains({{ other }}.last_name, {{ one }}.last_name) then 3
        else 4
    end
{%- endmacro %}

{#- 1 exact, 2 one field off or day and month exchanged, 3 near: about a month off at most, or that
    and a year or ten, 4 different. -#}
{% macro compare_birth_date(one, other) -%}
    case
        when {{ one }}.birth_date is null or {{ other }}.birth_date is null then 0
        when {{ one }}.birth_date = {{ other }}.birth_date then 1
        when {{ equal_date_fields(one, other) }} = 2 then 2
        when year({{ one }}.birth_date) = year({{ other }}.birth_date)
            and month({{ one }}.birth_date) = day({{ other }}.birth_date)
            and day({{ one }}.birth_date) = month({{ other }}.birth_date) then 2
        when least(
            abs(date_diff('day', {{ one }}.birth_date, {{ other }}.birth_date)),
            abs(abs(date_diff('day', {{ one }}.birth_date, {{ other }}.birth_date)) - 365),
            abs(abs(date_diff('day', {{ one }}.birth_date, {{ other }}.birth_date)) - 3652)
        ) <= 45 then 3
        else 4
    end
{%- endmacro %}

{% macro equal_date_fields(one, other) -%}
    (
        cast(year({{ one }}.birth_date) = year({{ other }}.birth_date) as integer)
        + cast(month({{ one }}.birth_date) = month({{ other }}.birth_date) as integer)
        + cast(day({{ one }}.birth_date) = day({{ other }}.birth_date) as integer)
    )
{%- endmacro %}

{#- 1 exact, 2 same mailbox name at another or misspelt provider, 3 close, 4 different, 5 exact,
    but known to be shared, 6 different, but one at a mail provider and one elsewhere: many have a
    private address and one at work, few have two private ones. Who has a household's address has
    one of their own too, so a shared one and another say nothing: "not comparable". Nor does a
    mailbox that merely spells the name, at two providers: two John Smiths are john.smith at each.
    Closeness counts for mailboxes with something of their own, the same digits included, and at a
    domain of a firm's or family's own. -#}
{% macro compare_email(one, other) -%}
    case
        when {{ one }}.mailbox is null or {{ other }}.mailbox is null then 0
        when {{ one }}.mailbox = {{ other }}.mailbox
            then case
                when {{ one }}.email_domain = {{ other }}.email_domain
                    then case when {{ one }}.is_email_shared then 5 else 1 end
                when {{ one }}.is_mailbox_distinctive and {{ other }}.is_mailbox_distinctive then 2
                -- misspelt, unless both are providers: hotmail.com and hotmail.fr are two
                when not ({{ one }}.is_email_private and {{ other }}.is_email_private)
                    and {{ digits_of(one ~ '.email_domain') }}
                    = {{ digits_of(other ~ '.email_domain') }}
                    and left({{ one }}.email_domain, 1) = left({{ other }}.email_domain, 1)
                    and jaro_winkler_similarity({{ one }}.email_domain, {{ other }}.email_domain)
                    >= 0.9 then 2
                else 0
            end
        when {{ one }}.is_mailbox_distinctive and {{ other }}.is_mailbox_distinctive
            and jaro_winkler_similarity({{ one }}.mailbox, {{ other }}.mailbox) >= 0.9
            and {{ digits_of(one ~ '.mailbox') }} = {{ digits_of(other ~ '.mailbox') }}
            and length({{ digits_of(one ~ '.mailbox') }}) > 0 then 3
        when {{ one }}.email_domain = {{ other }}.email_domain and not {{ one }}.is_email_private
            and jaro_winkler_similarity({{ one }}.mailbox, {{ other }}.mailbox) >= 0.92 then 3
        when {{ one }}.is_email_shared or {{ other }}.is_email_shared then 0
        when {{ one }}.is_email_private <> {{ other }}.is_email_private then 6
        else 4
    end
{%- endmacro %}

{% macro digits_of(text) -%}
    regexp_replace({{ text }}, '[^0-9]', '', 'g')
{%- endmacro %}

{#- 1 exact, 2 one digit off, 3 different, 4 exact, but known to be shared; as with e-mails a shared
    one and another say nothing. -#}
{% macro compare_phone(one, other) -%}
    case
        when {{ one }}.phone is null or {{ other }}.phone is null then 0
        when {{ one }}.phone = {{ other }}.phone
            then case when {{ one }}.is_phone_shared then 4 else 1 end
        when case
            when length({{ one }}.phone) = length({{ other }}.phone)
                then hamming({{ one }}.phone, {{ other }}.phone) = 1
            else false
        end then 2
        when {{ one }}.is_phone_shared or {{ other }}.is_phone_shared then 0
        else 3
    end
{%- endmacro %}

{#- 1 exact: house number, street and postcode or city; 2 street and postcode, 3 postcode, 4 city,
    5 different. -#}
{% macro compare_address(one, other) -%}
    case
        when coalesce({{ one }}.postcode, {{ one }}.city) is null
            or coalesce({{ other }}.postcode, {{ other }}.city) is null then 0
        when {{ one }}.house_number = {{ other }}.house_number
            and ({{ one }}.postcode = {{ other }}.postcode or {{ one }}.city = {{ other }}.city)
            and (
                left({{ one }}.street, 4) = left({{ other }}.street, 4)
                or jaro_winkler_similarity({{ one }}.street, {{ other }}.street) >= 0.85
            ) then 1
        when {{ one }}.postcode = {{ other }}.postcode
            then case
                when jaro_winkler_similarity({{ one }}.street, {{ other }}.street) >= 0.92 then 2
                else 3
            end
        when {{ one }}.city = {{ other }}.city
            or jaro_winkler_similarity({{ one }}.city, {{ other }}.city) >= 0.88 then 4
        when ({{ one }}.postcode is null or {{ other }}.postcode is null)
            and ({{ one }}.city is null or {{ other }}.city is null) then 0
        else 5
    end
{%- endmacro %}

{#- 1 exact, 2 at most two characters off, 3 different. -#}
{% macro compare_national_id(one, other) -%}
    case
        when {{ one }}.national_id is null or {{ other }}.national_id is null then 0
        when {{ one }}.national_id = {{ other }}.national_id then 1
        when case
            when length({{ one }}.national_id) = length({{ other }}.national_id)
                then hamming({{ one }}.national_id, {{ other }}.national_id) <= 2
            else false
        end then 2
        else 3
    end
{%- endmacro %}

{#- Two profiles that share an e-mail, a phone or an address are compared with family, not with
    random people: 0 nothing shared, 1 a personal e-mail, 2 a shared one, +3 and +6 for phones,
    +9 for the address. Each has its own prior (seed match_priors). -#}
{% macro household_context(pattern='pattern') -%}
    (
        case {{ level_of('email', pattern) }} when 1 then 1 when 5 then 2 else 0 end
        + case {{ level_of('phone', pattern) }} when 1 then 3 when 4 then 6 else 0 end
        + case {{ level_of('address', pattern) }} when 1 then 9 else 0 end
    )
{%- endmacro %}

{#- Match weight in bits (log2 odds): the pattern's, and how rare the values are that agree exactly
    (first_name_bits, last_name_bits, names_bits of both, city_bits of `pair`). `namesakes` is the
    number of profiles with these two names, null when they are a crowd. -#}
{% macro pair_weight(patterns, pair, namesakes) -%}
    ({{ patterns }}.weight + {{ rarity(patterns, pair, namesakes) }})
{%- endmacro %}

{% macro rarity(patterns, pair, namesakes) -%}
    (
        case
            when {{ patterns }}.has_names_bits
                -- a namesake is a stranger or akin: the two odds against one person add up
                then -{{ patterns }}.weight - log2(
                    pow(2, -{{ patterns }}.weight - {{ names_rarity(patterns, pair, namesakes) }})
                    + pow(2, -{{ patterns }}.akin_weight)
                )
            when {{ patterns }}.has_first_name_bits and {{ patterns }}.has_last_name_bits
                then {{ pair }}.first_name_bits + {{ pair }}.last_name_bits
            when {{ patterns }}.has_first_name_bits then {{ pair }}.first_name_bits
            when {{ patterns }}.has_last_name_bits then {{ pair }}.last_name_bits
            else 0
        end
        + case when {{ patterns }}.has_city_bits then {{ pair }}.city_bits else 0 end
    )
{%- endmacro %}

{#- Bits of one share of all profiles: those of strangers that bear both names. Two estimates: the
    product of the names' own shares knows nothing of the Hans Muellers of one country, the profiles
    that are there knows nothing of a name that two have. So the first is the mean of a gamma
    distribution of shape `namesake_shape`, the second what was observed of it, without the profiles
    that one person has. -#}
{% macro names_rarity(patterns, pair, namesakes) -%}
    {%- set by_names = patterns ~ ".profile_count * pow(2, -" ~ pair ~ ".names_bits)" -%}
    log2({{ patterns }}.profile_count / (case
        when {{ namesakes }} is null then greatest({{ by_names }}, {{ names_cap() }})
        else (
            {{ var('namesake_shape') }}
            + greatest({{ namesakes }} - 1 - {{ patterns }}.own_namesakes, 0)
        ) / ({{ var('namesake_shape') }} / ({{ by_names }}) + 1)
    end))
{%- endmacro %}

{#- What a pair brings to `rarity`; swapped names are listed on one side at most, so the more
    common reading counts. -#}
{% macro rarity_of_pair(one, other) -%}
    {{ one }}.first_name_bits,
    {{ one }}.last_name_bits,
    {{ one }}.city_bits,
    least(
        {{ one }}.first_name_bits + {{ one }}.last_name_bits,
        {{ other }}.first_name_bits + {{ other }}.last_name_bits
    ) as names_bits
{%- endmacro %}

{#- A threshold probability (a dbt variable) as bits. -#}
{% macro weight_of(variable) -%}
    log2(cast({{ var(variable) }} as double) / (1 - cast({{ var(variable) }} as double)))
{%- endmacro %}
