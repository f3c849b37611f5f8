-- Grain: one row per calendar day from 1990 to the end of the as-of day's year.
-- Weeks are ISO weeks: they begin on Monday, and the first one holds the year's first Thursday.
with spine as (
    {{ every_day('1990-01-01', "date_trunc('year', " ~ as_of_date() ~ ") + interval 1 year") }}
)

select
    day,
    cast(date_trunc('week', day) as date) as week_start_date,
    cast(date_trunc('month', day) as date) as month_start_date,
    cast(date_trunc('quarter', day) as date) as quarter_start_date,
    cast(date_trunc('year', day) as date) as year_start_date,
    cast(extract(isodow from day) as bigint) as iso_weekday,
    day = cast(date_trunc('month', day) + interval 1 month - interval 1 day as date)
        as is_month_end,
    day <= {{ as_of_date() }} as is_known
from spine
