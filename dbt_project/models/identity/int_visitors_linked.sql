-- Grain: one row per web visitor (anonymous id) that logged in or ordered.
-- A visitor hangs on one account or guest order, the latest seen, so a shared device joins nobody.
with events as (
    select * from {{ ref('stg_web__events') }}
    where anonymous_id is not null
),

orders as (
    select * from {{ ref('stg_shop__orders') }}
),

evidence as (
    select
        events.anonymous_id,
        case
            when events.account_id is not null then 'shop:' || events.account_id
            else orders.source_record_id
        end as linked_record_id,
        case when events.account_id is not null then 'login' else 'order' end as link_type,
        events.occurred_at,
        events.event_id
    from events
    left join orders on events.order_id = orders.order_id
    where events.account_id is not null or orders.order_id is not null
),

latest_evidence as (
    select * from evidence
    qualify row_number() over (
        partition by anonymous_id
        order by occurred_at desc nulls last, event_id desc
    ) = 1
),

visits as (
    select
        anonymous_id,
        min(occurred_at) as first_seen_at,
        max(occurred_at) as last_seen_at
    from events
    group by anonymous_id
)

select
    'web:' || latest_evidence.anonymous_id as source_record_id,
    latest_evidence.linked_record_id,
    latest_evidence.link_type,
    latest_evidence.occurred_at as linked_at,
    visits.first_seen_at,
    visits.last_seen_at
from latest_evidence
inner join visits on latest_evidence.anonymous_id = visits.anonymous_id
