-- Grain: one row per e-mail address that is not the address of one person.
-- Two first names that no one person has make it a household's; personal ones are not listed.
with named_records as (
    select distinct
        email,
        first_name_canonical,
        last_name_normalised
    from {{ ref('int_records_normalised') }}
    where email is not null and first_name_canonical is not null
),

suppressed_values as (
    select * from {{ ref('suppressed_values') }}
),

addresses as (
    select distinct email from {{ ref('int_records_normalised') }}
    where email is not null
),

suppressed_addresses as (
    select
        addresses.email,
        -- a role address still has people behind it; a placeholder or test account has nobody
        bool_and(suppressed_values.reason = 'role address') as has_people
    from addresses
    inner join suppressed_values
        on (
            suppressed_values.value_type = 'email_local_part'
            and split_part(addresses.email, '@', 1) = suppressed_values.value
        )
        or (
            suppressed_values.value_type = 'email_domain'
            and split_part(addresses.email, '@', 2) = suppressed_values.value
        )
    group by addresses.email
),

names_per_address as (
    select
        email,
        count(*) as name_count
    from named_records
    group by email
    having count(*) > 1
),

crowded_addresses as (
    select email from names_per_address
    where name_count > {{ var('max_names_per_value') }}
),

-- bounded: at most max_names_per_value names are compared with each other
comparable_names as (
    select named_records.*
    from named_records
    inner join names_per_address on named_records.email = names_per_address.email
    where names_per_address.name_count <= {{ var('max_names_per_value') }}
),

household_addresses as (
    select distinct one.email
    from comparable_names as one
    inner join comparable_names as other
        on
            one.email = other.email
            and one.first_name_canonical < other.first_name_canonical
    where
        jaro_winkler_similarity(one.first_name_canonical, other.first_name_canonical) < 0.8
        -- "J" may be Jane
        and not starts_with(other.first_name_canonical, one.first_name_canonical)
        -- swapped first and last name
        and one.first_name_canonical is distinct from other.last_name_normalised
        and other.first_name_canonical is distinct from one.last_name_normalised
)

select
    addresses.email,
    case
        when suppressed_addresses.has_people then 'role'
        when suppressed_addresses.email is not null then 'placeholder'
        when crowded_addresses.email is not null then 'crowded'
        else 'household'
    end as email_type
from addresses
left join suppressed_addresses on addresses.email = suppressed_addresses.email
left join crowded_addresses on addresses.email = crowded_addresses.email
left join household_addresses on addresses.email = household_addresses.email
where
    suppressed_addresses.email is not null
    or crowded_addresses.email is not null
    or household_addresses.email is not null
