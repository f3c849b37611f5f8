-- Grain: one row per record of a person: as shown to people, and (match_*) as compared.
-- A record without a name takes it, for comparison only, from a mailbox that spells one. What a
-- steward rectified stands in the place of what the source says, and is normalised as that is.
{{ config(
    materialized='incremental',
    incremental_strategy='replace_changed',
    meta={'replaces': {'key': 'record_key', 'changed': 'int_records_changed'}}
) }}
{% set changed = ref('int_records_changed') %}
{% set rectifications = ref('int_rectifications_applied') %}

with unioned as (
    select
        *,
        {{ hash_of(['source_record_id']) }} as record_key
    from {{ ref('int_records_unioned') }}
),

delivered as (
    select
        *,
        {{ values_hash() }} as values_hash
    from unioned
    {{ only_changed('record_key', changed) }}
),

rectified_values as (
    {{ rectified_values(rectifications) }}
),

rectified as (
    select
        delivered.* exclude ({{ rectifiable_fields() | join(', ') }}),
        {{ rectified_columns('delivered', 'rectified_values') }}
    from delivered
    left join rectified_values on delivered.record_key = rectified_values.record_key
),

records as (
    select
        *,
        {{ phone_digits('phone') }} as phone_digits,
        {{ normalise_email('email') }} as email_normalised
    from rectified
),

rectified_records as (
    {{ rectified_records(rectifications) }}
),

decided as (
    {{ decided_records(source('state', 'steward_decisions')) }}
),

country_names as (
    select * from {{ ref('country_names') }}
),

phone_plans as (
    select * from {{ ref('phone_plans') }}
),

one_per_person as (
    select
        source,
        record_type
    from {{ ref('one_per_person') }}
),

placeholder_dates as (
    select cast(value as date) as birth_date
    from {{ ref('suppressed_values') }}
    where value_type = 'birth_date'
),

shown as (
    select
        records.record_key,
        records.source_record_id,
        records.source,
        records.record_type,
        trim(records.first_name) as first_name,
        trim(records.last_name) as last_name,
        records.email_normalised as email,
        {{ phone_e164('records.phone', 'records.phone_digits', 'phone_plans') }} as phone,
        records.birth_date,
        {{ normalise_gender('records.gender') }} as gender,
        {{ normalise_national_id('records.national_id') }} as national_id,
        trim(records.street) as street,
        trim(records.city) as city,
        {{ normalise_postcode('records.postcode') }} as postcode,
        coalesce(country_names.country_code, upper(trim(records.country))) as country,
        trim(records.company) as company,
        records.first_seen_at,
        records.last_seen_at,
        records.updated_at,
        {{ phone_tail('records.phone_digits') }} as phone_tail,
        {{ mailbox_of('records.email_normalised') }} as mailbox,
        decided.record_key is not null as is_decided,
        one_per_person.source is not null as is_one_per_person,
        {{ row_hash(
            'records.values_hash', 'decided.decided_hash', 'rectified_records.rectified_hash'
        ) }} as row_hash
    from records
    left join decided on records.record_key = decided.record_key
    left join rectified_records on records.record_key = rectified_records.record_key
    left join one_per_person
        on
            records.source = one_per_person.source
            and records.record_type = one_per_person.record_type
    left join country_names on lower(trim(records.country)) = country_names.country_name
    left join phone_plans
        on
            -- a country that is not known is not the home country
            case
                when nullif(trim(records.country), '') is null then '{{ var("home_country") }}'
                else country_names.country_code
            end = phone_plans.country_code
),

named as (
    {{ names_for_matching('shown') }}
),

compared as (
    select
        named.* exclude (mailbox, phone_tail),
        named.mailbox || '@' || split_part(named.email, '@', 2) as match_email,
        coalesce(right(named.phone, 9), named.phone_tail) as match_phone,
        case
            when named.birth_date not in (select birth_date from placeholder_dates)
                then named.birth_date
        end as match_birth_date,
        {{ normalise_name('named.street') }} as match_street,
        regexp_extract(named.street, '[0-9]+') as house_number_digits,
        {{ normalise_name('named.city') }} as match_city
    from named
),

keyed as (
    select
        compared.* exclude (house_number_digits, is_one_per_person),
        nullif(compared.house_number_digits, '') as match_house_number,
        {{ hash_of(['compared.match_email']) }} as email_key,
        {{ hash_of(['compared.match_phone']) }} as phone_key,
        -- a record that a steward has decided about, or of which a person has one, stands alone,
        -- whatever else looks like it
        {{ hash_of([
            'compared.match_first_name', 'compared.match_last_name', 'compared.match_email',
            'substr(compared.match_email, 2)', 'compared.match_phone', 'compared.match_birth_date', 'compared.national_id',
            'compared.match_street', 'compared.house_number_digits', 'compared.match_city',
            'compared.postcode',
            'case when compared.is_decided or compared.is_one_per_person then compared.record_key end',
        ]) }} as profile_key
    from compared
)

select * from keyed
