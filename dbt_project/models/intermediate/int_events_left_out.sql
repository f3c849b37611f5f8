-- Grain: one row per reason for which web events are in no session.
-- Together with the events of all sessions these are all events landed.
select
    case
        when occurred_at is null then 'no_time'
        when occurred_at >= {{ as_of_end() }} then 'after_as_of_day'
        else 'no_visitor'
    end as reason,
    count(*) as event_count
from {{ ref('stg_web__events') }}
where
    occurred_at is null
    or occurred_at >= {{ as_of_end() }}
    or coalesce(anonymous_id, account_id) is null
group by 1
