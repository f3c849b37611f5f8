-- Grain: one row per reason not to contact somebody, its subject and channel.
-- A mailbox is dead when the last thing known of it is a bounce: nothing later was sent or read.
with suppressions as (
    select
        *,
        {{ normalise_email('email') }} as email_normalised,
        {{ phone_digits('phone') }} as phone_digits
    from {{ ref('stg_mailing__suppressions') }}
),

home_plan as (
    select * from {{ ref('phone_plans') }}
    where country_code = '{{ var("home_country") }}'
),

suppressions_normalised as (
    select
        suppressions.*,
        {{ phone_subject('suppressions.phone', 'suppressions.phone_digits', 'home_plan') }}
            as phone_subject
    from suppressions
    cross join home_plan
),

subscribers as (
    select
        subscriber_id,
        {{ normalise_email('email') }} as email
    from {{ ref('stg_mailing__subscribers') }}
),

deliveries as (
    select
        source_record_id,
        subscriber_id,
        delivery_id,
        event_type,
        event_type in ('bounce', 'bounced') as is_bounce,
        occurred_at
    from {{ ref('stg_mailing__deliveries') }}
    where
        (
            event_type in ('bounce', 'bounced', 'complaint', 'sent')
            or {{ shows_receipt('event_type') }}
        )
        and source_record_id is not null
        and (occurred_at is null or occurred_at < {{ as_of_end() }})
),

reasons as (
    select * from {{ ref('suppression_reasons') }}
),

-- summed up before the address is looked up: there are many events to a subscriber
last_mailed as (
    select
        source_record_id,
        subscriber_id,
        max(occurred_at) as mailed_at
    from deliveries
    where event_type = 'sent' or {{ shows_receipt('event_type') }}
    group by source_record_id, subscriber_id
),

last_bounced as (
    select * from deliveries
    where is_bounce
    qualify row_number() over (
        partition by source_record_id
        -- an undated bounce may be the last
        order by occurred_at desc nulls first, delivery_id desc
    ) = 1
),

subjects as (
    select distinct
        deliveries.source_record_id,
        case when subscribers.email is null then 'record' else 'email' end as subject_type,
        coalesce(subscribers.email, deliveries.source_record_id) as subject
    from deliveries
    left join subscribers on deliveries.subscriber_id = subscribers.subscriber_id
),

-- several subscribers may share an address
mailed as (
    select
        subjects.subject,
        max(last_mailed.mailed_at) as mailed_at
    from last_mailed
    inner join subjects on last_mailed.source_record_id = subjects.source_record_id
    group by subjects.subject
),

bounces as (
    select
        'mailing:delivery:' || last_bounced.delivery_id as evidence_id,
        'mailing' as source,
        subjects.subject_type,
        subjects.subject,
        'hard_bounce' as reason,
        last_bounced.occurred_at
    from last_bounced
    inner join subjects on last_bounced.source_record_id = subjects.source_record_id
    left join mailed on subjects.subject = mailed.subject
    where
        last_bounced.occurred_at is null
        or mailed.mailed_at is null
        or mailed.mailed_at <= last_bounced.occurred_at
),

complaints as (
    select
        'mailing:delivery:' || deliveries.delivery_id as evidence_id,
        'mailing' as source,
        subjects.subject_type,
        subjects.subject,
        'complaint' as reason,
        deliveries.occurred_at
    from deliveries
    inner join subjects on deliveries.source_record_id = subjects.source_record_id
    where deliveries.event_type = 'complaint'
),

unioned as (
    select
        'mailing:suppression:' || suppression_id as evidence_id,
        'mailing' as source,
        'email' as subject_type,
        email_normalised as subject,
        reason,
        occurred_at
    from suppressions_normalised
    where email_normalised is not null

    union all

    select
        'mailing:suppression:' || suppression_id as evidence_id,
        'mailing' as source,
        'phone' as subject_type,
        phone_subject as subject,
        reason,
        occurred_at
    from suppressions_normalised
    where phone_subject is not null

    union all

    select * from bounces

    union all

    select * from complaints
),

channels as (
    select 'email' as channel
    union all
    select 'sms' as channel
),

of_channels as (
    select
        unioned.evidence_id,
        unioned.source,
        unioned.subject_type,
        unioned.subject,
        coalesce(unioned.reason, 'unknown') as reason,
        channels.channel,
        unioned.occurred_at
    from unioned
    left join reasons on unioned.reason = reasons.reason
    cross join channels
    where
        (unioned.occurred_at is null or unioned.occurred_at < {{ as_of_end() }})
        and (
            coalesce(reasons.suppresses, '') <> 'channel'
            or channels.channel
            = case when unioned.subject_type = 'phone' then 'sms' else 'email' end
        )
)

select * from of_channels
