-- Grain: one row per record whose cluster has to be looked at anew.
-- Filled in an increment only; carries the cluster and customer that it had at the last build.
{% set changed = ref('int_records_changed') %}
{% set records = ref('int_records_normalised') %}
{% set profiles = ref('int_profiles_touched') %}

{% if increment() %}

with touched as (
    select record_key from {{ changed }}
    union
    select record_key from {{ records }}
    where profile_key in (select profile_key from {{ profiles }})
)

select
    touched.record_key,
    clustered.cluster_key,
    assigned.customer_id
from touched
left join {{ source('last_build', 'int_records_clustered') }} as clustered
    on touched.record_key = clustered.record_key
left join {{ source('last_build', 'int_records_assigned') }} as assigned
    on touched.record_key = assigned.record_key

{% else %}

select
    record_key,
    cast(null as ubigint) as cluster_key,
    cast(null as varchar) as customer_id
from {{ records }}
where false

{% endif %}
