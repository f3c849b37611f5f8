-- Grain: one row per customer, segment and stay; half open: a member from entered_on until left_on.
-- Whom a merge joined is in since the earliest of the stays that it brings along, unless it left.
with stays as (
    select * from {{ ref('int_segment_stays_reopened') }}
),

judged as (
    select * from {{ ref('int_segment_candidates_judged') }}
),

redirects as (
    select * from {{ ref('customer_redirects') }}
),

rules as (
    select segment from {{ ref('segment_rules') }}
),

this_run as (
    select
        {{ as_of_date() }} as today,
        coalesce(bool_or(is_of_later_days), false) as is_earlier_run
    from stays
),

closed as (
    select * from stays
    where is_of_later_days or left_on is not null
),

open_before as (
    select
        stays.*,
        case
            when redirects.customer_id is null then stays.customer_id
            else redirects.current_customer_id
        end as heir_id,
        redirects.customer_id is not null as is_retired
    from stays
    left join redirects on stays.customer_id = redirects.customer_id
    where not stays.is_of_later_days and stays.left_on is null
),

earliest as (
    select * from open_before
    qualify row_number() over (
        partition by heir_id, segment
        order by entered_on asc, is_retired asc, customer_id asc
    ) = 1
),

last_leavings as (
    select
        customer_id,
        segment,
        max(left_on) as left_on
    from closed
    group by customer_id, segment
),

members as (
    select judged.*
    from judged
    cross join this_run
    where judged.verdict = 'member' and not this_run.is_earlier_run
),

continuing as (
    select
        members.customer_id,
        members.segment,
        case
            when earliest.customer_id is null then this_run.today
            -- stays of one customer do not overlap
            else greatest(earliest.entered_on, coalesce(last_leavings.left_on, earliest.entered_on))
        end as entered_on,
        cast(null as date) as left_on,
        coalesce(earliest.entered_reason, members.reason) as entered_reason,
        cast(null as varchar) as left_reason
    from members
    cross join this_run
    left join earliest
        on members.customer_id = earliest.heir_id and members.segment = earliest.segment
    left join last_leavings
        on
            members.customer_id = last_leavings.customer_id
            and members.segment = last_leavings.segment
),

ended as (
    select
        open_before.customer_id,
        open_before.segment,
        open_before.entered_on,
        this_run.today as left_on,
        open_before.entered_reason,
        case
            when open_before.is_retired
                then coalesce('merged into ' || open_before.heir_id, 'customer withdrawn')
            when rules.segment is null then 'rule removed'
            else coalesce(judged.reason, 'customer withdrawn')
        end as left_reason
    from open_before
    cross join this_run
    left join rules on open_before.segment = rules.segment
    left join judged
        on
            open_before.customer_id = judged.customer_id
            and open_before.segment = judged.segment
    where coalesce(judged.verdict, 'none') <> 'member'
)

select
    customer_id,
    segment,
    entered_on,
    left_on,
    entered_reason,
    left_reason
from closed

union all

select * from continuing

union all

select * from ended
