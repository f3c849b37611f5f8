-- Grain: one row per record of a person, from any source, values as typed.
-- An account or member known only from its purchases is a record too, or money had no owner.
with contacts as (
    select * from {{ ref('stg_crm__contacts') }}
    -- deleted evidence is no evidence
    where not is_deleted
),

accounts as (
    select * from {{ ref('stg_shop__customers') }}
),

orders as (
    select * from {{ ref('stg_shop__orders') }}
),

members as (
    select * from {{ ref('stg_pos__members') }}
),

receipts as (
    select * from {{ ref('stg_pos__receipts') }}
),

subscribers as (
    select * from {{ ref('stg_mailing__subscribers') }}
),

tickets as (
    select * from {{ ref('stg_support__tickets') }}
),

responses as (
    select * from {{ ref('stg_surveys__responses') }}
),

purchases_by_record as (
    select
        source_record_id,
        min(ordered_at) as first_purchased_at,
        max(ordered_at) as last_purchased_at,
        max_by(email, (ordered_at, order_id)) as email,
        max_by(phone, (ordered_at, order_id)) as phone
    from orders
    where source_record_id is not null
    group by source_record_id
),

receipts_by_record as (
    select
        source_record_id,
        min(purchased_at) as first_purchased_at,
        max(purchased_at) as last_purchased_at
    from receipts
    where source_record_id is not null
    group by source_record_id
),

unioned as (
    select
        source_record_id,
        'crm' as source,
        'contact' as record_type,
        first_name,
        last_name,
        email,
        phone,
        birth_date,
        gender,
        national_id,
        street,
        city,
        postcode,
        country,
        company,
        created_at as first_seen_at,
        updated_at as last_seen_at,
        updated_at
    from contacts

    union all by name

    select
        coalesce(accounts.source_record_id, purchases.source_record_id) as source_record_id,
        'shop' as source,
        case
            when purchases.source_record_id like 'shop:order:%' then 'guest_order' else 'account'
        end as record_type,
        accounts.first_name,
        accounts.last_name,
        case
            when accounts.source_record_id is null then purchases.email else accounts.email
        end as email,
        case
            when accounts.source_record_id is null then purchases.phone else accounts.phone
        end as phone,
        accounts.street,
        accounts.city,
        accounts.postcode,
        accounts.country,
        least(accounts.created_at, purchases.first_purchased_at) as first_seen_at,
        greatest(accounts.updated_at, purchases.last_purchased_at) as last_seen_at,
        coalesce(accounts.updated_at, purchases.last_purchased_at) as updated_at
    from accounts
    full outer join purchases_by_record as purchases
        on accounts.source_record_id = purchases.source_record_id

    union all by name

    select
        coalesce(members.source_record_id, receipts.source_record_id) as source_record_id,
        'pos' as source,
        'member' as record_type,
        members.first_name,
        members.last_name,
        members.email,
        members.phone,
        members.birth_date,
        members.postcode,
        least(members.joined_at, receipts.first_purchased_at) as first_seen_at,
        greatest(members.updated_at, receipts.last_purchased_at) as last_seen_at,
        coalesce(members.updated_at, receipts.last_purchased_at) as updated_at
    from members
    full outer join receipts_by_record as receipts
        on members.source_record_id = receipts.source_record_id

    union all by name

    select
        source_record_id,
        'mailing' as source,
        'subscriber' as record_type,
        first_name,
        last_name,
        email,
        subscribed_at as first_seen_at,
        updated_at as last_seen_at,
        updated_at
    from subscribers

    union all by name

    select
        source_record_id,
        'support' as source,
        'requester' as record_type,
        {{ given_name_of('requester_name') }} as first_name,
        {{ family_name_of('requester_name') }} as last_name,
        requester_email as email,
        requester_phone as phone,
        opened_at as first_seen_at,
        coalesce(updated_at, opened_at) as last_seen_at,
        updated_at
    from tickets

    union all by name

    select
        source_record_id,
        'surveys' as source,
        'respondent' as record_type,
        email,
        phone,
        responded_at as first_seen_at,
        responded_at as last_seen_at,
        responded_at as updated_at
    from responses
)

select * from unioned
