-- Grain: one row per utm medium, utm source and referring host (any of them null) of sessions.
-- The rules are asked once for each: millions of sessions come in some thousand ways.
with origins as (
    select
        utm_medium,
        utm_source,
        referrer_host
    from {{ ref('int_sessions_joined') }}
    where coalesce(utm_medium, utm_source, referrer_host) is not null
    group by utm_medium, utm_source, referrer_host
),

rules as (
    select * from {{ ref('channel_rules') }}
)

select
    origins.utm_medium,
    origins.utm_source,
    origins.referrer_host,
    min_by(rules.channel, rules.priority) as channel
from origins
inner join rules
    on
        lower(trim(coalesce(origins.utm_medium, ''))) like coalesce(rules.utm_medium, '%')
        and lower(trim(coalesce(origins.utm_source, ''))) like coalesce(rules.utm_source, '%')
        and '.' || coalesce(origins.referrer_host, '') || '.' like coalesce(rules.referrer, '%')
group by origins.utm_medium, origins.utm_source, origins.referrer_host
