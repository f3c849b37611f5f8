-- Grain: one row per audience of seed audiences, also when nobody is in it.
-- Each member of the segment is counted once: in the audience, or by the first thing in the way.
with audiences as (
    select * from {{ ref('audiences') }}
),

judged as (
    select
        audience,
        count(*) as segment_member_count,
        count(case when verdict = 'no_consent' then 1 end) as no_consent_count,
        count(case when verdict = 'suppressed' then 1 end) as suppressed_count,
        count(case when verdict = 'no_address' then 1 end) as no_address_count,
        count(case when verdict = 'member' then 1 end) as member_count
    from {{ ref('int_audience_candidates_judged') }}
    group by audience
)

select
    audiences.audience,
    audiences.segment,
    audiences.purpose,
    audiences.channel,
    audiences.owner,
    audiences.description,
    coalesce(judged.segment_member_count, 0) as segment_member_count,
    coalesce(judged.no_consent_count, 0) as no_consent_count,
    coalesce(judged.suppressed_count, 0) as suppressed_count,
    coalesce(judged.no_address_count, 0) as no_address_count,
    coalesce(judged.member_count, 0) as member_count,
    {{ as_of_date() }} as as_of_date
from audiences
left join judged on audiences.audience = judged.audience
