-- Grain: one row per audience and member of its segment on the as-of day, with a verdict.
-- Consent is asked first, then suppression, then an address: the first that is missing is told.
with audiences as (
    select * from {{ ref('audiences') }}
),

segment_members as (
    select
        customer_id,
        segment
    from {{ ref('int_segment_candidates_judged') }}
    where verdict = 'member'
),

granted as (
    select
        customer_id,
        purpose
    from {{ ref('customer_consent') }}
    where is_current and is_granted
),

suppressed as (
    select distinct
        customer_id,
        channel
    from {{ ref('customer_suppressions') }}
),

customers as (
    select
        customer_id,
        email,
        phone
    from {{ ref('customers') }}
),

candidates as (
    select
        audiences.audience,
        audiences.purpose,
        audiences.channel,
        segment_members.customer_id,
        case audiences.channel
            when 'email' then customers.email
            when 'sms' then customers.phone
        end as address
    from audiences
    inner join segment_members on audiences.segment = segment_members.segment
    inner join customers on segment_members.customer_id = customers.customer_id
)

select
    candidates.audience,
    candidates.customer_id,
    candidates.address,
    case
        when granted.customer_id is null then 'no_consent'
        when suppressed.customer_id is not null then 'suppressed'
        when candidates.address is null then 'no_address'
        else 'member'
    end as verdict
from candidates
left join granted
    on
        candidates.customer_id = granted.customer_id
        and candidates.purpose = granted.purpose
left join suppressed
    on
        candidates.customer_id = suppressed.customer_id
        and candidates.channel = suppressed.channel
