-- Grain: one row per customer id that is no longer in use, with the customer it now means.
-- Always one hop; null when every record of that customer has gone.
{% set changed = ref('int_customers_changed') %}

with released as (
    select
        record_key,
        customer_id
    from {{ source('state', 'customer_sources') }}
    {{ only_changed('customer_id', changed) }}
),

earlier_redirects as (
    select * from {{ source('state', 'customer_redirects') }}
),

assigned as (
    select * from {{ ref('int_records_assigned') }}
    {{ only_changed('customer_id', changed) }}
),

live_ids as (
    select distinct customer_id from assigned
),

newly_unused as (
    select distinct released.customer_id
    from released
    anti join live_ids on released.customer_id = live_ids.customer_id
),

successors as (
    select
        released.customer_id,
        assigned.customer_id as current_customer_id,
        count(*) as record_count
    from released
    semi join newly_unused on released.customer_id = newly_unused.customer_id
    inner join assigned on released.record_key = assigned.record_key
    group by released.customer_id, assigned.customer_id
),

main_successors as (
    select * from successors
    qualify row_number() over (
        partition by customer_id
        order by record_count desc, current_customer_id asc
    ) = 1
),

new_redirects as (
    select
        newly_unused.customer_id,
        main_successors.current_customer_id,
        {{ as_of_date() }} as redirected_on
    from newly_unused
    left join main_successors on newly_unused.customer_id = main_successors.customer_id
),

earlier_resolved as (
    select
        earlier_redirects.customer_id,
        coalesce(
            new_redirects.current_customer_id,
            case
                when new_redirects.customer_id is null
                    then earlier_redirects.current_customer_id
            end
        ) as current_customer_id,
        earlier_redirects.redirected_on
    from earlier_redirects
    left join new_redirects
        on earlier_redirects.current_customer_id = new_redirects.customer_id
    anti join live_ids on earlier_redirects.customer_id = live_ids.customer_id
)

select * from new_redirects
union all
select earlier_resolved.*
from earlier_resolved
anti join new_redirects on earlier_resolved.customer_id = new_redirects.customer_id
