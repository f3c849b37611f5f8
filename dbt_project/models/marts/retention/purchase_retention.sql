{%- set end = var('return_window_end') -%}
{%- set start = var('return_window_start') -%}
{%- set statuses = var('return_statuses') -%}
-- Grain: one row per number of days after the first purchase in the window.
-- A return is a purchase in the window so many days or more after the first in it, day 0 included.
with ends as (
    {% if end -%}
    select least(cast('{{ end }}' as date), {{ plus_days(as_of_date(), 1) }}) as window_end
    {%- else -%}
    select {{ plus_days(as_of_date(), 1) }} as window_end
    {%- endif %}
),

windows as (
    select
        {{ "cast('" ~ start ~ "' as date)" if start else plus_days('window_end', -365) }}
            as window_start,
        window_end
    from ends
),

listed_days as (
    {% for days in var('return_days') | map('int') | unique -%}
    {{ 'union all' if not loop.first }}
    select {{ days }} as return_days
    {% endfor %}
),

purchases as (
    select
        orders.customer_id,
        cast(orders.ordered_at as date) as purchased_on,
        {% if statuses -%}
        orders.status in ('{{ statuses | join("', '") }}')
        {%- else -%}
        true
        {%- endif %} as is_return,
        windows.window_end
    from {{ ref('orders') }} as orders
    cross join windows
    where
        orders.is_purchase
        and orders.customer_id is not null
        and cast(orders.ordered_at as date) >= windows.window_start
        and cast(orders.ordered_at as date) < windows.window_end
),

spans as (
    select
        customer_id,
        window_end,
        min(purchased_on) as first_purchased_on,
        max(case when is_return then purchased_on end) as last_returned_on
    from purchases
    group by customer_id, window_end
),

customers as (
    select
        customer_id,
        {{ days_between('first_purchased_on', 'window_end') }} - 1 as observed_days,
        {{ days_between('first_purchased_on', 'last_returned_on') }} as last_return_days
    from spans
),

counted as (
    select
        listed_days.return_days,
        count(customers.customer_id) as customer_count,
        count(case when customers.last_return_days >= listed_days.return_days then 1 end)
            as returned_count,
        count(case when customers.observed_days >= listed_days.return_days then 1 end)
            as observed_count
    from listed_days
    left join customers on true
    group by listed_days.return_days
)

select
    windows.window_start,
    windows.window_end,
    cast(counted.return_days as bigint) as return_days,
    counted.customer_count,
    counted.returned_count,
    counted.returned_count / nullif(cast(counted.customer_count as double), 0) as returned_ratio,
    counted.observed_count,
    counted.returned_count / nullif(cast(counted.observed_count as double), 0)
        as observed_returned_ratio
from counted
cross join windows
