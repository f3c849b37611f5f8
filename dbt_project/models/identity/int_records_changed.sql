-- Grain: one row per record that is new, changed or withdrawn since the last build.
-- Filled in an increment only; carries what the last build knew, for what hangs on the old values.
{% set landed = ref('int_records_unioned') %}
{% set decisions = source('state', 'steward_decisions') %}
{% set rectifications = ref('int_rectifications_applied') %}
{% set known = source('last_build', 'int_records_normalised') %}

{% if increment() %}

with decided as (
    {{ decided_records(decisions) }}
),

rectified as (
    {{ rectified_records(rectifications) }}
),

hashed as (
    select
        {{ hash_of(['source_record_id']) }} as record_key,
        {{ values_hash() }} as values_hash
    from {{ landed }}
),

landed as (
    select
        hashed.record_key,
        {{ row_hash('hashed.values_hash', 'decided.decided_hash', 'rectified.rectified_hash') }}
            as row_hash
    from hashed
    left join decided on hashed.record_key = decided.record_key
    left join rectified on hashed.record_key = rectified.record_key
),

known as (
    select
        record_key,
        row_hash
    from {{ known }}
),

compared as (
    select
        coalesce(landed.record_key, known.record_key) as record_key,
        case
            when known.record_key is null then 'new'
            when landed.record_key is null then 'withdrawn'
            else 'changed'
        end as change
    from landed
    full outer join known on landed.record_key = known.record_key
    where landed.row_hash is distinct from known.row_hash
)

select
    compared.record_key,
    compared.change,
    last_build.profile_key,
    last_build.email_key,
    last_build.phone_key
from compared
left join {{ known }} as last_build on compared.record_key = last_build.record_key

{% else %}

select
    cast(null as ubigint) as record_key,
    cast(null as varchar) as change,
    cast(null as ubigint) as profile_key,
    cast(null as ubigint) as email_key,
    cast(null as ubigint) as phone_key
from {{ landed }}
where false

{% endif %}
