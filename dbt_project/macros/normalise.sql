{#- Letters only, lower case, without accents, the second letter of ae, oe, ue dropped, so that
    "O'Brien-Müller" and "OBRIEN MUELLER" both become "obrienmuller". -#}
{% macro normalise_name(column) -%}
    nullif(
        {{ fold_umlauts("regexp_replace(translate(replace(replace(replace(lower(strip_accents("
            ~ column ~ ")), 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'łøđðı', 'loddi'), '[^\\p{L}]', '', 'g')") }},
        ''
    )
{%- endmacro %}

{% macro fold_umlauts(letters) -%}
    replace(replace(replace({{ letters }}, 'ae', 'a'), 'oe', 'o'), 'ue', 'u')
{%- endmacro %}

{#- Name before the @, without "+tag": the same mailbox. -#}
{% macro mailbox_of(email) -%}
    split_part(split_part({{ email }}, '@', 1), '+', 1)
{%- endmacro %}

{#- Lower case without surrounding blanks; null when it cannot be an address. -#}
{% macro normalise_email(column) -%}
    case
        when regexp_matches(trim({{ column }}), '^[^@\s]+@[^@\s]+\.[^@\s]+$')
            then lower(trim({{ column }}))
    end
{%- endmacro %}

{#- female, male or diverse, by the first letter in English or German; null for all else. -#}
{% macro normalise_gender(column) -%}
    case lower(left(trim({{ column }}), 1))
        when 'f' then 'female' when 'w' then 'female'
        when 'm' then 'male' when 'd' then 'diverse' when 'x' then 'diverse'
    end
{%- endmacro %}

{#- Upper case letters and digits only. -#}
{% macro normalise_national_id(column) -%}
    nullif(regexp_replace(upper({{ column }}), '[^0-9A-Z]', '', 'g'), '')
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

{#- "Doe, Jane" and "Jane Mary Doe" both have the family name Doe, "Jan van den Berg" has van den
    Berg. -#}
{% macro family_name_of(full_name) -%}
    nullif(trim(case
        when {{ full_name }} like '%,%' then split_part({{ full_name }}, ',', 1)
        else regexp_extract(trim({{ full_name }}), '{{ family_name_pattern() }}', 1)
    end), '')
{%- endmacro %}

{#- What is left of the family name; nothing of a single word. -#}
{% macro given_name_of(full_name) -%}
    nullif(trim(case
        when {{ full_name }} like '%,%' then split_part({{ full_name }}, ',', 2)
        else regexp_replace(trim({{ full_name }}), '{{ family_name_pattern() }}', '')
    end), '')
{%- endmacro %}

{#- The last word and the particles before it. -#}
{% macro family_name_pattern() -%}
    ((?:\b(?i:van|von|vom|zu|zum|zur|ter|ten|der|den|de|del|della|di|da|dos|das|du|la|le|af|av|al|el|bin|ibn|san|st)\s+)*\S+)$
{%- endmacro %}

{#- Digits that stay when country and trunk prefix are written or not: the last nine. -#}
{% macro phone_tail(digits) -%}
    case
        when length(ltrim({{ digits }}, '0')) < 7 then null
        when replace(right({{ digits }}, 7), right({{ digits }}, 1), '') = '' then null
        when ltrim({{ digits }}, '0') in ('1234567', '12345678', '123456789', '1234567890') then null
        else right(ltrim({{ digits }}, '0'), 9)
    end
{%- endmacro %}

{#- The rows of a relation with match_first_name, match_first_name_canonical and match_last_name.
    Where both names are missing, `joseph.brown79@` or `j.brown@` gives them; where one is, `josephbrown@` gives
    the other. Words of role and household mailboxes are no names (seed suppressed_values). -#}
{% macro names_for_matching(records) -%}
    with given_names as (
        select {{ normalise_name('given_name') }} as name from {{ ref('nicknames') }}
        union
        select {{ normalise_name('formal_name') }} as name from {{ ref('nicknames') }}
    ),

    nicknames as (
        select
            {{ normalise_name('given_name') }} as given_name,
            min({{ normalise_name('formal_name') }}) as canonical_name
        from {{ ref('nicknames') }}
        where is_canonical
        group by 1
    ),

    words as (
        select distinct value from {{ ref('suppressed_values') }}
        where value_type in ('email_local_part', 'household_word')
    ),

    normalised as (
        select
            *,
            {{ normalise_name('first_name') }} as first_normalised,
            {{ normalise_name('last_name') }} as last_normalised,
            {{ normalise_name('mailbox') }} as mailbox_letters,
            regexp_extract(mailbox, '^([a-z]+)[._-]([a-z]{2,})[0-9]*$', ['one', 'other']) as spelt
        from {{ records }}
    ),

    guessed as (
        select
            *,
            case
                when first_normalised is null and last_normalised is null
                    then {{ normalise_name('spelt.one') }}
            end as spelt_one,
            case
                when first_normalised is null and last_normalised is null
                    then {{ normalise_name('spelt.other') }}
            end as spelt_other,
            case
                when first_normalised is null and last_normalised is null then null
                when first_normalised is not null and last_normalised is not null then null
                when starts_with(mailbox_letters, coalesce(first_normalised, last_normalised))
                    then substr(mailbox_letters, 1 + length(coalesce(first_normalised, last_normalised)))
                when ends_with(mailbox_letters, coalesce(first_normalised, last_normalised))
                    then left(
                        mailbox_letters,
                        length(mailbox_letters) - length(coalesce(first_normalised, last_normalised))
                    )
            end as remainder
        from normalised
    ),

    checked as (
        select
            guessed.* exclude (first_normalised, last_normalised, mailbox_letters, spelt),
            -- `brown.joseph@`: the one that is a given name comes first
            given_other.name is not null and given_one.name is null as is_reversed,
            one_word.value is null and other_word.value is null as is_spelt,
            case
                when length(guessed.remainder) >= 3 and remainder_word.value is null
                    then guessed.remainder
            end as other_half,
            guessed.first_normalised,
            guessed.last_normalised
        from guessed
        left join given_names as given_one on guessed.spelt_one = given_one.name
        left join given_names as given_other on guessed.spelt_other = given_other.name
        left join words as one_word on guessed.spelt_one = one_word.value
        left join words as other_word on guessed.spelt_other = other_word.value
        left join words as remainder_word on guessed.remainder = remainder_word.value
    ),

    completed as (
        select
            checked.* exclude (
                spelt_one, spelt_other, remainder, is_reversed, is_spelt, other_half,
                first_normalised, last_normalised
            ),
            coalesce(
                first_normalised,
                case when last_normalised is not null then other_half end,
                case when is_spelt then case when is_reversed then spelt_other else spelt_one end end
            ) as match_first_name,
            coalesce(
                last_normalised,
                case when first_normalised is not null then other_half end,
                case when is_spelt then case when is_reversed then spelt_one else spelt_other end end
            ) as match_last_name
        from checked
    )

    select
        completed.*,
        coalesce(nicknames.canonical_name, completed.match_first_name) as match_first_name_canonical
    from completed
    left join nicknames on completed.match_first_name = nicknames.given_name
{%- endmacro %}

{#- Rows (given_name, formal_names): what a name may be short for, as compared: `|harold|henry|`.
    One text, not a list: a list in both sides of a million pairs costs .4 CPU seconds more. -#}
{% macro formal_names() -%}
    select
        {{ normalise_name('given_name') }} as given_name,
        '|' || string_agg(
            distinct {{ normalise_name('formal_name') }}, '|' order by {{ normalise_name('formal_name') }}
        ) || '|' as formal_names
    from {{ ref('nicknames') }}
    group by 1
{%- endmacro %}

{#- Whether one first name may be short for the other: lisa for alicia, harry for henry. -#}
{% macro may_be_one_name(one, one_formal_names, other, other_formal_names) -%}
    (
        coalesce(contains({{ one_formal_names }}, '|' || {{ other }} || '|'), false)
        or coalesce(contains({{ other_formal_names }}, '|' || {{ one }} || '|'), false)
    )
{%- endmacro %}

{#- Whether two first names are too far apart for spelling errors. -#}
{% macro names_differ(one, other) -%}
    (
        jaro_winkler_similarity({{ one }}, {{ other }}) < 0.8
        and (
            least(length({{ one }}), length({{ other }})) < 5
            or damerau_levenshtein({{ one }}, {{ other }}) > 2
        )
    )
{%- endmacro %}
