-- Grain: one row per rule of seed segment_rules, also when nobody is in the segment.
-- Sizes are those of the as-of day as the stays tell them; a rule that was removed has no row.
with rules as (
    select * from {{ ref('segment_rules') }}
),

memberships as (
    select * from {{ ref('customer_segment_memberships') }}
),

judged as (
    select * from {{ ref('int_segment_candidates_judged') }}
),

customers as (
    select count(*) as customer_count from {{ ref('customer_segments') }}
),

matched as (
    select
        segment,
        count(*) as match_count
    from judged
    where verdict <> 'no_match'
    group by segment
),

sizes as (
    select
        segment,
        count(
            case
                when
                    entered_on <= {{ as_of_date() }}
                    and (left_on is null or left_on > {{ as_of_date() }}) then 1
            end
        ) as member_count,
        count(case when entered_on = {{ as_of_date() }} then 1 end) as entered_count,
        count(case when left_on = {{ as_of_date() }} then 1 end) as left_count
    from memberships
    group by segment
)

select
    rules.segment,
    rules.segment_group,
    rules.priority,
    rules.predicate,
    rules.purpose,
    rules.required_consent,
    rules.owner,
    rules.description,
    coalesce(matched.match_count, 0) as match_count,
    coalesce(sizes.member_count, 0) as member_count,
    coalesce(
        cast(coalesce(sizes.member_count, 0) as double) / nullif(customers.customer_count, 0), 0
    ) as customer_ratio,
    coalesce(sizes.entered_count, 0) as entered_count,
    coalesce(sizes.left_count, 0) as left_count,
    {{ as_of_date() }} as as_of_date
from rules
cross join customers
left join matched on rules.segment = matched.segment
left join sizes on rules.segment = sizes.segment
