-- Grain: one row per customer, also those who never did anything.
-- Buying is not engagement: it has marts of its own, and this one is to be held against them.
with customers as (
    select customer_id from {{ ref('customers') }}
),

mail as (
    select * from {{ ref('int_mail_engagement_summed') }}
),

web as (
    select * from {{ ref('int_web_engagement_summed') }}
),

support as (
    select * from {{ ref('int_support_engagement_summed') }}
),

responses as (
    select
        customer_id,
        count(*) as response_count,
        count(*) filter (where {{ is_recent('responded_at') }}) as recent_response_count,
        max(responded_at) as last_responded_at
    from {{ ref('surveys') }}
    where {{ is_known('responded_at') }}
    group by customer_id
),

joined as (
    select
        customers.customer_id,
        coalesce(mail.sent_count, 0) as mail_sent_count,
        coalesce(mail.open_count, 0) as mail_open_count,
        coalesce(mail.click_count, 0) as mail_click_count,
        coalesce(mail.bounce_count, 0) as mail_bounce_count,
        coalesce(mail.unsubscribe_count, 0) as unsubscribe_count,
        coalesce(mail.opened_mail_count, 0) as opened_mail_count,
        coalesce(mail.clicked_mail_count, 0) as clicked_mail_count,
        {{ share_of('mail.opened_mail_count', 'mail.sent_count') }} as mail_open_ratio,
        {{ share_of('mail.clicked_mail_count', 'mail.sent_count') }} as mail_click_ratio,
        mail.last_engaged_at as last_mail_engaged_at,
        coalesce(web.event_count, 0) as web_event_count,
        coalesce(web.visit_day_count, 0) as web_visit_day_count,
        web.last_seen_at as last_web_seen_at,
        coalesce(support.ticket_count, 0) as ticket_count,
        coalesce(support.open_ticket_count, 0) as open_ticket_count,
        support.mean_first_reply_seconds,
        support.median_first_reply_seconds,
        support.mean_resolution_seconds,
        support.median_resolution_seconds,
        support.csat_mean as ticket_csat_mean,
        support.last_opened_at as last_ticket_opened_at,
        coalesce(responses.response_count, 0) as survey_response_count,
        responses.last_responded_at as last_survey_at,
        coalesce(mail.recent_sent_count, 0) as recent_mail_sent_count,
        coalesce(mail.recent_open_count, 0) as recent_mail_open_count,
        coalesce(mail.recent_click_count, 0) as recent_mail_click_count,
        coalesce(web.recent_event_count, 0) as recent_web_event_count,
        coalesce(web.recent_visit_day_count, 0) as recent_web_visit_day_count,
        coalesce(support.recent_ticket_count, 0) as recent_ticket_count,
        coalesce(responses.recent_response_count, 0) as recent_survey_response_count
    from customers
    left join mail on customers.customer_id = mail.customer_id
    left join web on customers.customer_id = web.customer_id
    left join support on customers.customer_id = support.customer_id
    left join responses on customers.customer_id = responses.customer_id
),

latest as (
    select
        *,
        greatest(last_mail_engaged_at, last_web_seen_at, last_ticket_opened_at, last_survey_at)
            as last_engaged_at
    from joined
)

select
    *,
    {{ days_before_as_of('last_engaged_at') }} as days_since_last_engaged,
    {{ as_of_date() }} as as_of_date
from latest
