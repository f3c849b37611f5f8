-- Grain: one row per customer and segment, as in int_segment_candidates_matched, with a verdict.
-- Rules with a priority compete within their group; consent is asked last and makes no runner-up.
with candidates as (
    select * from {{ ref('int_segment_candidates_matched') }}
),

rules as (
    select
        segment,
        segment_group,
        priority,
        required_consent
    from {{ ref('segment_rules') }}
),

consents as (
    select
        customer_id,
        purpose,
        is_granted
    from {{ ref('customer_consent') }}
    where is_current
),

ruled as (
    select
        candidates.*,
        rules.segment_group,
        rules.priority,
        rules.required_consent
    from candidates
    inner join rules on candidates.segment = rules.segment
),

winners as (
    select
        customer_id,
        segment_group,
        segment
    from ruled
    where is_match and priority is not null
    qualify row_number() over (
        partition by customer_id, segment_group
        order by priority asc nulls last, segment asc
    ) = 1
)

select
    ruled.customer_id,
    ruled.segment,
    case
        when not ruled.is_match then 'no_match'
        when ruled.priority is not null and winners.segment <> ruled.segment then 'outranked'
        when ruled.required_consent is not null and not coalesce(consents.is_granted, false)
            then 'no_consent'
        else 'member'
    end as verdict,
    case
        when not ruled.is_match then 'no longer matches: ' || ruled.attribute_values
        when ruled.priority is not null and winners.segment <> ruled.segment
            then 'now in ' || winners.segment
        when ruled.required_consent is not null and not coalesce(consents.is_granted, false)
            then case
                when consents.customer_id is null
                    then 'no consent to ' || ruled.required_consent
                else 'consent to ' || ruled.required_consent || ' withdrawn'
            end
        else ruled.attribute_values
    end as reason
from ruled
left join winners
    on
        ruled.customer_id = winners.customer_id
        and ruled.segment_group = winners.segment_group
left join consents
    on
        ruled.customer_id = consents.customer_id
        and ruled.required_consent = consents.purpose
