-- Grain: one row per mail that was sent to a subscriber by the as-of day.
-- An event belongs to the latest mail of its campaign before it; one without such a mail to none.
with events as (
    select
        source_record_id,
        campaign,
        event_type,
        occurred_at,
        delivery_id
    from {{ ref('stg_mailing__deliveries') }}
    where source_record_id is not null and {{ is_known('occurred_at') }}
),

numbered as (
    select
        *,
        -- a reaction within the second of sending comes after it
        count(*) filter (where event_type = 'sent') over (
            partition by source_record_id, campaign
            order by
                occurred_at asc,
                case when event_type = 'sent' then 0 else 1 end asc,
                delivery_id asc
            rows between unbounded preceding and current row
        ) as mail_number
    from events
)

select
    source_record_id,
    campaign,
    mail_number,
    min(case when event_type = 'sent' then occurred_at end) as sent_at,
    min(case when event_type = 'open' then occurred_at end) as first_opened_at,
    min(case when event_type = 'click' then occurred_at end) as first_clicked_at,
    bool_or(event_type = 'bounce') as has_bounced
from numbered
where mail_number > 0
group by
    source_record_id,
    campaign,
    mail_number
