-- Grain: one row per currency and span of days in which its rate to the reporting currency holds.
-- The first known rate also stands for the time before it; a currency without rate has no row.
with spans as (
    select
        currency_code,
        units_per_euro,
        case
            when row_number() over (partition by currency_code order by valid_from asc) = 1
                then cast('1900-01-01' as date)
            else valid_from
        end as valid_from,
        coalesce(
            lead(valid_from) over (partition by currency_code order by valid_from asc),
            cast('9999-12-31' as date)
        ) as valid_until
    from {{ ref('exchange_rates') }}
),

reporting as (
    select * from spans
    where currency_code = '{{ var("reporting_currency") }}'
)

select
    spans.currency_code,
    greatest(spans.valid_from, reporting.valid_from) as valid_from,
    least(spans.valid_until, reporting.valid_until) as valid_until,
    cast(reporting.units_per_euro / spans.units_per_euro as double) as exchange_rate
from spans
inner join reporting
    on
        spans.valid_from < reporting.valid_until
        and spans.valid_until > reporting.valid_from
