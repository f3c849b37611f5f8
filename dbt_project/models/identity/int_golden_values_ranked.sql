-- Grain: one row per customer, group of fields and distinct value; rank 1 survived.
-- A value is as good as its best record; whole names and addresses compete, never their parts.
-- What a steward rectified comes before every rule, what was rectified last before what was before.
{{ config(
    materialized='incremental',
    incremental_strategy='replace_changed',
    meta={'replaces': {'key': 'customer_key', 'changed': 'int_customers_changed'}}
) }}
{% set changed = ref('int_customers_changed') %}

with rules as (
    select
        field_group,
        rule,
        row_number() over (partition by field_group order by position asc, rule asc) as place
    from {{ ref('survivorship_rules') }}
),

priorities as (
    select * from {{ ref('survivorship_sources') }}
),

-- an equality for each part of the join: `field_group = 'email'` would make it a nested loop
verified_values as (
    select
        'email' as field_group,
        email as value
    from {{ ref('int_emails_verified') }}
),

rule_lists as (
    select
        field_group,
        {% for place in range(1, 6) %}
        max(case when place = {{ place }} then rule end) as rule_{{ place }},
        {% endfor %}
        min(case when rule = 'source_priority' then place end) as source_priority_place,
        min(case when rule = 'most_recent' then place end) as most_recent_place
    from rules
    group by field_group
),

members as (
    select * from {{ ref('int_records_assigned') }}
    {{ only_changed('customer_key', changed) }}
),

-- the place by source_record_id is what ends every tie
records as (
    select
        members.customer_key,
        members.customer_id,
        row_number() over (
            partition by members.customer_key order by records.source_record_id asc
        ) as place,
        records.*
    from {{ ref('int_records_normalised') }} as records
    inner join members on records.record_key = members.record_key
),

-- one row per record and group of fields
claims as (
    select
        customer_key,
        customer_id,
        record_key,
        source_record_id,
        source,
        place,
        {{ age_in_microseconds('updated_at') }} as age,
        {{ claims_of_record() }}
    from records
),

rectified as (
    select
        record_key,
        field_group,
        max(decided_at) as rectified_at
    from {{ ref('int_rectifications_applied') }}
    -- that something is not so does not make the rest of the name or address any better
    where action = 'set'
    group by record_key, field_group
),

weighed_claims as (
    select
        claims.customer_key,
        claims.customer_id,
        claims.field_group,
        claims.value,
        claims.record_key,
        claims.source_record_id,
        claims.completeness,
        claims.place,
        rectified.rectified_at,
        case when rule_lists.most_recent_place is not null then claims.age else 0 end as age,
        case
            when rule_lists.source_priority_place is null then 0
            -- a source that is not listed comes after every listed one
            else coalesce(priorities.priority, 1000000)
        end as priority,
        rule_lists.most_recent_place < rule_lists.source_priority_place as is_age_first
    from claims
    left join rule_lists on claims.field_group = rule_lists.field_group
    left join priorities
        on claims.source = priorities.source and claims.field_group = priorities.field_group
    left join rectified
        on claims.record_key = rectified.record_key and claims.field_group = rectified.field_group
    where claims.value is not null
),

keyed_claims as (
    select
        *,
        {{ claim_key() }} as claim_key
    from weighed_claims
),

valued as (
    select
        customer_key,
        field_group,
        value,
        any_value(customer_id) as customer_id,
        count(*) as record_count,
        min_by(record_key, claim_key) as record_key,
        min_by(source_record_id, claim_key) as source_record_id,
        min_by(priority, claim_key) as priority,
        min_by(age, claim_key) as age,
        max(completeness) as completeness,
        max(rectified_at) as rectified_at
    from keyed_claims
    group by customer_key, field_group, value
),

-- most groups of fields have one value, and nothing to rank
contested as (
    select
        customer_key,
        field_group
    from valued
    group by customer_key, field_group
    having count(*) > 1
),

contested_values as (
    select
        valued.*,
        verified_values.value is not null as is_verified
    from valued
    inner join contested
        on
            valued.customer_key = contested.customer_key
            and valued.field_group = contested.field_group
    left join verified_values
        on valued.field_group = verified_values.field_group and valued.value = verified_values.value
),

scored_values as (
    select
        contested_values.*,
        {{ survivorship_scores('rule_lists') }}
    from contested_values
    left join rule_lists on contested_values.field_group = rule_lists.field_group
),

ranked_values as (
    select
        *,
        row_number() over preference as rank,
        first_value(rectified_at) over preference as survivor_rectified_at,
        {{ rival_scores('preference') }}
    from scored_values
    window preference as (
        partition by customer_key, field_group
        order by
            rectified_at desc nulls last,
            {{ survivorship_order() }},
            source_record_id asc
        rows between unbounded preceding and unbounded following
    )
)

select
    customer_key,
    customer_id,
    field_group,
    value,
    rank,
    record_count,
    record_key,
    source_record_id,
    case when survivor_rectified_at is not null then 'rectified' else {{ deciding_rule() }} end
        as decided_by,
    is_verified
from ranked_values

union all

select
    valued.customer_key,
    valued.customer_id,
    valued.field_group,
    valued.value,
    1 as rank,
    valued.record_count,
    valued.record_key,
    valued.source_record_id,
    case when valued.rectified_at is not null then 'rectified' else 'only_value' end as decided_by,
    null as is_verified
from valued
anti join contested
    on valued.customer_key = contested.customer_key and valued.field_group = contested.field_group
