-- Grain: one row per customer id that is no longer in use, with the customer it now means.
-- Always one hop; null when every record of that customer has gone.
with released as (
    select * from {{ source('state', 'customer_sources') }}
),

earlier_redirects as (
    select * from {{ source('state', 'customer_redirects') }}
),

sources as (
    select * from {{ ref('int_customer_sources_resolved') }}
),

live_ids as (
    select distinct customer_id from sources
),

successors as (
    select
        released.customer_id,
        sources.customer_id as current_customer_id,
        count(*) as record_count
    from released
    inner join sources on released.source_record_id = sources.source_record_id
    -- visitors follow their account, they do not decide where an id goes
    where sources.record_type <> 'visitor'
    group by released.customer_id, sources.customer_id
),

main_successors as (
    select * from successors
    qualify row_number() over (
        partition by customer_id
        order by record_count desc, current_customer_id asc
    ) = 1
),

newly_unused as (
    select distinct released.customer_id
    from released
    anti join live_ids on released.customer_id = live_ids.customer_id
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
