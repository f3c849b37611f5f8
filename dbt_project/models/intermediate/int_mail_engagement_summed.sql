-- Grain: one row per customer whom a mail was sent or who reacted to one by the as-of day.
-- Counts are of events, an open a time; ratios are of mails, opened or not.
with events as (
    select
        source_record_id,
        count(*) filter (where event_type = 'sent') as sent_count,
        count(*) filter (where event_type = 'open') as open_count,
        count(*) filter (where event_type = 'click') as click_count,
        count(*) filter (where event_type = 'bounce') as bounce_count,
        count(*) filter (where event_type = 'unsubscribe') as unsubscribe_count,
        count(*) filter (where event_type = 'sent' and {{ is_recent('occurred_at') }})
            as recent_sent_count,
        count(*) filter (where event_type = 'open' and {{ is_recent('occurred_at') }})
            as recent_open_count,
        count(*) filter (where event_type = 'click' and {{ is_recent('occurred_at') }})
            as recent_click_count,
        max(case when event_type in ('open', 'click') then occurred_at end) as last_engaged_at
    from {{ ref('stg_mailing__deliveries') }}
    where {{ is_known('occurred_at') }}
    group by source_record_id
),

mails as (
    select
        source_record_id,
        -- who blocks images clicks without an open
        count(*) filter (where is_opened or is_clicked) as opened_mail_count,
        count(*) filter (where is_clicked) as clicked_mail_count
    from {{ ref('int_mails_tracked') }}
    group by source_record_id
),

sources as (
    select
        source_record_id,
        customer_id
    from {{ ref('int_customer_sources_resolved') }}
)

select
    sources.customer_id,
    cast(sum(events.sent_count) as bigint) as sent_count,
    cast(sum(events.open_count) as bigint) as open_count,
    cast(sum(events.click_count) as bigint) as click_count,
    cast(sum(events.bounce_count) as bigint) as bounce_count,
    cast(sum(events.unsubscribe_count) as bigint) as unsubscribe_count,
    cast(coalesce(sum(mails.opened_mail_count), 0) as bigint) as opened_mail_count,
    cast(coalesce(sum(mails.clicked_mail_count), 0) as bigint) as clicked_mail_count,
    cast(sum(events.recent_sent_count) as bigint) as recent_sent_count,
    cast(sum(events.recent_open_count) as bigint) as recent_open_count,
    cast(sum(events.recent_click_count) as bigint) as recent_click_count,
    max(events.last_engaged_at) as last_engaged_at
from events
inner join sources on events.source_record_id = sources.source_record_id
left join mails on events.source_record_id = mails.source_record_id
group by sources.customer_id
