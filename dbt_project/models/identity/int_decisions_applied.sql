-- Grain: one row per steward's decision in force on two records that are here.
-- Decided records are profiles of their own, so a decision between records is one between profiles.
with decisions as (
    select
        *,
        {{ hash_of(['source_record_id']) }} as record_key,
        {{ hash_of(['other_source_record_id']) }} as other_record_key
    from {{ source('state', 'steward_decisions') }}
),

decided_records as (
    select
        record_key,
        profile_key
    from {{ ref('int_records_normalised') }}
    where is_decided
)

select
    decisions.decision_id,
    decisions.verdict,
    least(one.profile_key, other.profile_key) as profile_key,
    greatest(one.profile_key, other.profile_key) as other_profile_key,
    decisions.decided_by,
    decisions.decided_at,
    decisions.reason
from decisions
inner join decided_records as one on decisions.record_key = one.record_key
inner join decided_records as other on decisions.other_record_key = other.record_key
