-- Grain: one row per customer, segment and day of entry: what is remembered of earlier days.
-- What the as-of day itself had changed is taken back, so a day that is run again ends the same.
with remembered as (
    select
        customer_id,
        segment,
        entered_on,
        left_on,
        entered_reason,
        left_reason
    from {{ source('released', 'customer_segment_memberships') }}
),

latest as (
    select
        -- the memory of later days is neither changed nor lost by a run of an earlier one
        coalesce(max(coalesce(left_on, entered_on)) > {{ as_of_date() }}, false)
            as is_of_later_days
    from remembered
)

select
    remembered.customer_id,
    remembered.segment,
    remembered.entered_on,
    case
        when latest.is_of_later_days or remembered.left_on < {{ as_of_date() }}
            then remembered.left_on
    end as left_on,
    remembered.entered_reason,
    case
        when latest.is_of_later_days or remembered.left_on < {{ as_of_date() }}
            then remembered.left_reason
    end as left_reason,
    latest.is_of_later_days
from remembered
cross join latest
where latest.is_of_later_days or remembered.entered_on < {{ as_of_date() }}
