-- Grain: one row per record of a person: one spelling per name, e-mail, phone, postcode.
-- A phone without country belongs to `home_country`; `record_number` is good for one run only.
with records as (
    select
        *,
        row_number() over (order by source_record_id) as record_number,
        {{ phone_digits('phone') }} as phone_digits
    from {{ ref('int_records_unioned') }}
),

country_names as (
    select * from {{ ref('country_names') }}
),

phone_plans as (
    select * from {{ ref('phone_plans') }}
),

nicknames as (
    select * from {{ ref('nicknames') }}
),

placed as (
    select
        records.*,
        country_names.country_code,
        {{ normalise_name('records.first_name') }} as first_name_normalised
    from records
    left join country_names on lower(trim(records.country)) = country_names.country_name
),

normalised as (
    select
        placed.record_number,
        placed.source_record_id,
        placed.source,
        placed.record_type,
        trim(placed.first_name) as first_name,
        trim(placed.last_name) as last_name,
        coalesce(nicknames.canonical_name, placed.first_name_normalised) as first_name_canonical,
        {{ normalise_name('placed.last_name') }} as last_name_normalised,
        {{ normalise_email('placed.email') }} as email,
        {{ phone_e164('placed.phone', 'placed.phone_digits', 'phone_plans') }} as phone,
        placed.birth_date,
        case lower(left(trim(placed.gender), 1))
            when 'f' then 'female' when 'w' then 'female'
            when 'm' then 'male' when 'd' then 'diverse' when 'x' then 'diverse'
        end as gender,
        trim(placed.street) as street,
        trim(placed.city) as city,
        {{ normalise_postcode('placed.postcode') }} as postcode,
        coalesce(placed.country_code, upper(trim(placed.country))) as country,
        trim(placed.company) as company,
        placed.first_seen_at,
        placed.last_seen_at,
        placed.updated_at
    from placed
    left join phone_plans
        on coalesce(placed.country_code, '{{ var("home_country") }}') = phone_plans.country_code
    left join nicknames on placed.first_name_normalised = nicknames.given_name
)

select * from normalised
