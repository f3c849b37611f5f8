-- Grain: one row per customer with a ticket that was opened by the as-of day.
-- Times to reply and to solve are those of tickets that have them on that day, not of open ones.
select
    customer_id,
    count(*) as ticket_count,
    count(*) filter (where is_open) as open_ticket_count,
    count(*) filter (where {{ is_recent('opened_at') }}) as recent_ticket_count,
    {{ mean_of('first_reply_seconds') }} as mean_first_reply_seconds,
    {{ median_of('first_reply_seconds') }} as median_first_reply_seconds,
    {{ mean_of('resolution_seconds') }} as mean_resolution_seconds,
    {{ median_of('resolution_seconds') }} as median_resolution_seconds,
    {{ mean_of("case when " ~ is_known('scored_at') ~ " then csat_score end") }} as csat_mean,
    max(opened_at) as last_opened_at
from {{ ref('tickets') }}
where customer_id is not null and {{ is_known('opened_at') }}
group by customer_id
