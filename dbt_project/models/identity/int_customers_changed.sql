-- Grain: one row per customer that a touched record has or had.
-- Filled in an increment only; with ids that are gone, and those whose e-mail is verified now.
{% set touched = ref('int_records_touched') %}
{% set verified = ref('int_emails_verified') %}
{% set ranked = source('last_build', 'int_golden_values_ranked') %}

with touched_customers as (
    select customer_id from {{ touched }}
    where customer_id is not null
    union
    select customer_id from {{ ref('int_records_assigned') }}
    where record_key in (select record_key from {{ touched }})
),

reverified_customers as (
    {% if increment() %}
    select distinct ranked.customer_id
    from {{ ranked }} as ranked
    left join {{ verified }} as verified on ranked.value = verified.email
    where
        ranked.field_group = 'email'
        and ranked.is_verified is not null
        and ranked.is_verified <> (verified.email is not null)
    {% else %}
    select customer_id from touched_customers
    where false
    {% endif %}
),

changed as (
    select customer_id from touched_customers
    union
    select customer_id from reverified_customers
)

select
    customer_id,
    {{ hash_of(['customer_id']) }} as customer_key
from changed
