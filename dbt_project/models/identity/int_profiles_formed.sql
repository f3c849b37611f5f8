-- Grain: one row per profile: records with the same evidence are one, compared once.
-- A profile too weak to match its own copy is compared with nothing.
{{ config(
    materialized='incremental',
    incremental_strategy='replace_changed',
    meta={'replaces': {'key': 'profile_key', 'changed': 'int_profiles_changed'}}
) }}
{% set changed = ref('int_profiles_changed') %}

with records as (
    select * from {{ ref('int_records_normalised') }}
    {{ only_changed('profile_key', changed) }}
),

-- any record stands for its profile: they do not differ in what is compared
representatives as (
    select min(record_key) as record_key
    from records
    group by profile_key
),

shared_values as (
    select
        value_key,
        status <> 'household' as is_suppressed
    from {{ ref('int_values_shared') }}
),

frequencies as (
    select
        field,
        coalesce(value, '') as value,
        least(-log2(frequency), {{ var('max_frequency_bits') }}) as bits
    from {{ ref('match_frequencies') }}
),

unlisted as (
    select
        max(case when field = 'first_name' then bits end) as first_name_bits,
        max(case when field = 'last_name' then bits end) as last_name_bits,
        max(case when field = 'city' then bits end) as city_bits
    from frequencies
    where value = ''
),

evidence as (
    select
        records.profile_key,
        records.is_decided,
        records.match_first_name as first_name,
        records.match_first_name_canonical as first_name_canonical,
        records.match_last_name as last_name,
        case when not coalesce(shared_emails.is_suppressed, false) then records.match_email end
            as email,
        coalesce(not shared_emails.is_suppressed, false) as is_email_shared,
        case when not coalesce(shared_phones.is_suppressed, false) then records.match_phone end
            as phone,
        coalesce(not shared_phones.is_suppressed, false) as is_phone_shared,
        records.match_birth_date as birth_date,
        records.national_id,
        records.match_street as street,
        records.match_house_number as house_number,
        records.postcode,
        records.match_city as city
    from records
    inner join representatives on records.record_key = representatives.record_key
    left join shared_values as shared_emails on records.email_key = shared_emails.value_key
    left join shared_values as shared_phones on records.phone_key = shared_phones.value_key
),

-- few and short columns: two of these rows are fetched for every pair that is compared
mailboxes as (
    select
        evidence.* exclude (email),
        split_part(email, '@', 1) as mailbox,
        split_part(email, '@', 2) as email_domain,
        -- neither built from the name, which namesakes share, nor from its initials and a year
        coalesce(
            length(regexp_replace(split_part(email, '@', 1), '[^a-z]', '', 'g')) >= 4
            and not contains(split_part(email, '@', 1), left(first_name, 3))
            and not contains(split_part(email, '@', 1), left(last_name, 4)),
            false
        ) or coalesce(
            length({{ digits_of("split_part(email, '@', 1)") }}) >= 5, false
        ) as is_mailbox_distinctive
    from evidence
),

mail_providers as (
    select domain from {{ ref('mail_providers') }}
),

nicknames as (
    {{ formal_names() }}
),

profiles as (
    select
        mailboxes.*,
        mail_providers.domain is not null as is_email_private,
        nicknames.formal_names,
        cast(coalesce(first_names.bits, unlisted.first_name_bits) as float) as first_name_bits,
        cast(coalesce(last_names.bits, unlisted.last_name_bits) as float) as last_name_bits,
        cast(coalesce(cities.bits, unlisted.city_bits) as float) as city_bits
    from mailboxes
    cross join unlisted
    left join mail_providers on mailboxes.email_domain = mail_providers.domain
    left join nicknames on mailboxes.first_name = nicknames.given_name
    left join frequencies as first_names
        on mailboxes.first_name = first_names.value and first_names.field = 'first_name'
    left join frequencies as last_names
        on mailboxes.last_name = last_names.value and last_names.field = 'last_name'
    left join frequencies as cities
        on mailboxes.city = cities.value and cities.field = 'city'
),

self_compared as (
    select
        profiles.*,
        first_name_bits + last_name_bits as names_bits,
        {{ pattern('profiles', 'profiles') }} as pattern
    from profiles
)

select
    self_compared.* exclude (pattern, names_bits), -- noqa: RF02
    cast({{ pair_weight('patterns', 'self_compared', '1') }} as float) as self_weight,
    not self_compared.is_decided
    and {{ pair_weight('patterns', 'self_compared', '1') }} < {{ weight_of('match_probability') }}
        as is_weak,
    -- a name and nothing else, however rare: whose it is, only another profile can say
    not self_compared.is_decided and coalesce(
        self_compared.mailbox, self_compared.phone, self_compared.national_id,
        cast(self_compared.birth_date as varchar), self_compared.postcode, self_compared.city
    ) is null as is_bare
from self_compared
inner join {{ ref('int_patterns_weighed') }} as patterns on self_compared.pattern = patterns.pattern
