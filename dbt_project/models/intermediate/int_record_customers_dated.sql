-- Grain: one row per record that once had another customer and span of months in which it had one.
-- A month's customer is the one of its last day; of the as-of month it is today's, whatever came.
with history as (
    select
        source_record_id,
        customer_id,
        known_until,
        lag(known_until) over (
            partition by source_record_id
            order by known_until asc
        ) as known_from
    from {{ ref('customer_source_history') }}
),

superseded as (
    select
        source_record_id,
        customer_id,
        case
            when known_from is not null then {{ month_number('known_from') }}
            else 0
        end as first_month,
        least(
            {{ last_month_ended_by(plus_days('known_until', -1)) }},
            {{ month_number(as_of_date()) }} - 1
        ) as last_month
    from history
),

latest as (
    select
        source_record_id,
        max(known_until) as known_from
    from history
    group by source_record_id
),

sources as (
    select
        source_record_id,
        customer_id
    from {{ ref('customer_sources') }}
),

todays as (
    select
        latest.source_record_id,
        sources.customer_id,
        least({{ month_number('latest.known_from') }}, {{ month_number(as_of_date()) }})
            as first_month,
        {{ month_number(as_of_date()) }} as last_month
    from latest
    inner join sources on latest.source_record_id = sources.source_record_id
)

select * from superseded
where first_month <= last_month

union all

select * from todays
