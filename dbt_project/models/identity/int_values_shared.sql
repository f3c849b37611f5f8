-- Grain: one row per e-mail or phone that is not the evidence of one person.
-- Suppressed ones are ignored; a household's still counts, against family (a context of its own).
{{ config(
    materialized='incremental',
    incremental_strategy='replace_changed',
    meta={'replaces': {'key': 'value_key', 'changed': 'int_values_touched'}}
) }}
{% set touched = ref('int_values_touched') %}

with records as (
    select
        match_email,
        match_phone,
        email_key,
        phone_key,
        match_first_name,
        match_last_name
    from {{ ref('int_records_normalised') }}
),

suppressed_values as (
    select * from {{ ref('suppressed_values') }}
),

-- a value on one record is shared with nobody
emails as (
    select
        email_key as value_key,
        any_value(match_email) as email
    from records
    where match_email is not null and {{ concerns('email_key', touched, 'value_key') }}
    group by email_key
),

named_values as (
    select
        email_key as value_key,
        match_first_name,
        match_last_name
    from records
    where
        match_email is not null
        and match_first_name is not null
        and {{ concerns('email_key', touched, 'value_key') }}

    union all

    select
        phone_key as value_key,
        match_first_name,
        match_last_name
    from records
    where
        match_phone is not null
        and match_first_name is not null
        and {{ concerns('phone_key', touched, 'value_key') }}
),

repeated_values as (
    select value_key from named_values
    group by value_key
    having count(*) > 1
),

names as (
    select distinct
        named_values.value_key,
        named_values.match_first_name,
        named_values.match_last_name
    from named_values
    semi join repeated_values on named_values.value_key = repeated_values.value_key
),

name_counts as (
    select
        value_key,
        count(*) as name_count
    from names
    group by value_key
    having count(*) > 1
),

nicknames as (
    {{ formal_names() }}
),

-- bounded: at most max_names_per_value names are compared with each other
comparable_names as (
    select
        names.*,
        nicknames.formal_names
    from names
    inner join name_counts on names.value_key = name_counts.value_key
    left join nicknames
        on names.match_first_name = nicknames.given_name
    where name_counts.name_count <= {{ var('max_names_per_value') }}
),

values_of_several as (
    select distinct one.value_key
    from comparable_names as one
    inner join comparable_names as other
        on
            one.value_key = other.value_key
            and one.match_first_name < other.match_first_name
    where
        {{ names_differ('one.match_first_name', 'other.match_first_name') }}
        and not {{ may_be_one_name(
            'one.match_first_name', 'one.formal_names',
            'other.match_first_name', 'other.formal_names'
        ) }}
        -- "J" may be Jane
        and not starts_with(other.match_first_name, one.match_first_name)
        -- swapped first and last name
        and coalesce({{ names_differ('one.match_first_name', 'other.match_last_name') }}, true)
        and coalesce({{ names_differ('other.match_first_name', 'one.match_last_name') }}, true)
),

email_words as (
    select
        value_key,
        email,
        unnest(list_distinct(string_split_regex(split_part(email, '@', 1), '[^a-z]+'))) as word
    from emails
),

reasons as (
    select
        emails.value_key,
        case when suppressed_values.reason = 'role address' then 'role' else 'placeholder' end
            as status
    from emails
    inner join suppressed_values
        on
            suppressed_values.value_type = 'email_local_part'
            and split_part(emails.email, '@', 1) = suppressed_values.value

    union all

    select
        emails.value_key,
        'placeholder' as status
    from emails
    inner join suppressed_values
        on
            suppressed_values.value_type = 'email_domain'
            and split_part(emails.email, '@', 2) = suppressed_values.value

    union all

    select
        value_key,
        'crowded' as status
    from name_counts
    where name_count > {{ var('max_names_per_value') }}

    union all

    select
        value_key,
        'household' as status
    from values_of_several

    union all

    select
        email_words.value_key,
        'household' as status
    from email_words
    inner join suppressed_values
        on
            suppressed_values.value_type = 'household_word'
            and email_words.word = suppressed_values.value
)

select
    value_key,
    -- the most severe one
    min_by(
        status,
        case status when 'placeholder' then 1 when 'role' then 2 when 'crowded' then 3 else 4 end
    ) as status
from reasons
group by value_key
