-- Grain: one row per owner of journeys whose touches, carts or purchases have changed.
-- An owner is a customer, or the UTC day of the purchases that nobody is known for. One without
-- anything left counts 0. Outside an increment every owner is here.
with touches as (
    select * from {{ ref('int_touches_gathered') }}
    where order_key is null
),

carts as (
    select
        session_key,
        customer_id,
        last_carted_at
    from {{ ref('sessions') }}
    where customer_id is not null and last_carted_at is not null
),

purchases as (
    select * from {{ ref('orders') }}
    where is_purchase and ordered_at < {{ as_of_end() }}
),

facts as (
    select
        customer_id as journey_owner,
        touched_at,
        null as carted_at,
        {{ hash_of(['touchpoint_key', 'touched_at', 'channel', 'campaign']) }} as fact
    from touches
    union all
    select
        {{ journey_owner() }} as journey_owner,
        ordered_at as touched_at,
        null as carted_at,
        {{ hash_of([
            'order_key', 'ordered_at', 'channel', 'campaign', 'currency_code', 'net_amount',
            'reporting_net_amount', 'reporting_total_amount',
        ]) }} as fact
    from purchases
    union all
    select
        customer_id as journey_owner,
        null as touched_at,
        last_carted_at as carted_at,
        {{ hash_of(['session_key', 'last_carted_at']) }} as fact
    from carts
),

counted as (
    select
        journey_owner,
        count(*) as fact_count,
        bit_xor(fact) as fingerprint,
        -- time alone makes a cart an abandoned one and puts a journey to sleep
        coalesce({{ is_journey_awake('max(touched_at)') }}, false) as is_awake,
        coalesce({{ is_cart_abandoned('max(carted_at)') }}, false) as is_cart_abandoned
    from facts
    group by journey_owner
)

{% if increment() %}

,

known as (
    select * from {{ source('last_build_of_journeys', 'int_journeys_fingerprinted') }}
)

select
    coalesce(counted.journey_owner, known.journey_owner) as journey_owner,
    coalesce(counted.fact_count, 0) as fact_count,
    counted.fingerprint,
    counted.is_awake,
    counted.is_cart_abandoned
from counted
full outer join known on counted.journey_owner = known.journey_owner
where
    counted.fact_count is distinct from known.fact_count
    or counted.fingerprint is distinct from known.fingerprint
    or counted.is_awake is distinct from known.is_awake
    or counted.is_cart_abandoned is distinct from known.is_cart_abandoned

{% else %}

select
    journey_owner,
    fact_count,
    fingerprint,
    is_awake,
    is_cart_abandoned
from counted

{% endif %}
