-- Grain: one row per mail that was sent to a subscriber by the as-of day.
-- An event belongs to the latest mail of its campaign before it; one without such a mail to none.
with events as (
    select
        source_record_id,
        -- mails that name no campaign are taken for one
        coalesce(campaign, '') as campaign,
        event_type,
        occurred_at,
        delivery_id
    from {{ ref('stg_mailing__deliveries') }}
    where source_record_id is not null and {{ is_known('occurred_at') }}
),

campaigns as (
    select
        source_record_id,
        campaign,
        count(*) filter (where event_type = 'sent') as sent_count,
        min(case when event_type = 'sent' then occurred_at end) as sent_at,
        max(case when event_type = 'open' then occurred_at end) as last_opened_at,
        max(case when event_type = 'click' then occurred_at end) as last_clicked_at
    from events
    group by
        source_record_id,
        campaign
),

sent_once as (
    select
        source_record_id,
        campaign,
        1 as mail_number,
        sent_at,
        coalesce(last_opened_at >= sent_at, false) as is_opened,
        coalesce(last_clicked_at >= sent_at, false) as is_clicked
    from campaigns
    where sent_count = 1
),

sent_again as (
    select
        source_record_id,
        campaign
    from campaigns
    where sent_count > 1
),

-- few are: numbering all of ten million events took 30 CPU seconds, all of this takes 21
repeated as (
    select events.*
    from events
    semi join sent_again
        on
            events.source_record_id = sent_again.source_record_id
            and events.campaign = sent_again.campaign
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
    from repeated
)

select * from sent_once

union all

select
    source_record_id,
    campaign,
    mail_number,
    min(case when event_type = 'sent' then occurred_at end) as sent_at,
    bool_or(event_type is not distinct from 'open') as is_opened,
    bool_or(event_type is not distinct from 'click') as is_clicked
from numbered
where mail_number > 0
group by
    source_record_id,
    campaign,
    mail_number
