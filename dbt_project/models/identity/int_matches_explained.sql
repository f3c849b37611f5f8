-- Grain: one row per pair of records that identity linked, refused or left to a person, with why.
-- A profile is spoken for by its smallest record; others with its evidence hang on that one.
{{ config(materialized='view') }}
{% set names = comparisons() | map(attribute='name') | list %}

with records as (
    select
        record_key,
        source_record_id,
        profile_key
    from {{ ref('int_records_normalised') }}
),

strong_profiles as (
    select
        profile_key,
        first_name_bits,
        last_name_bits,
        city_bits
    from {{ ref('int_profiles_formed') }}
    where not is_weak
),

representatives as (
    select
        profile_key,
        min(source_record_id) as source_record_id,
        count(*) as record_count
    from records
    group by profile_key
),

profiles as (
    select
        strong_profiles.profile_key,
        strong_profiles.first_name_bits,
        strong_profiles.last_name_bits,
        strong_profiles.city_bits,
        representatives.source_record_id,
        assigned.customer_id
    from strong_profiles
    inner join representatives on strong_profiles.profile_key = representatives.profile_key
    inner join {{ ref('int_records_assigned') }} as assigned
        on {{ hash_of(['representatives.source_record_id']) }} = assigned.record_key
),

scored as (
    select
        profile_key,
        other_profile_key,
        pattern,
        namesakes,
        weight
    from {{ ref('int_pairs_scored') }}
),

decisions as (
    select * from {{ ref('int_decisions_applied') }}
),

-- the evidence counts for nothing here, but a steward wants to see it
decided_pairs as (
    select
        decisions.profile_key,
        decisions.other_profile_key,
        {{ pattern('one', 'other') }} as pattern,
        cast(null as utinyint) as namesakes,
        cast(null as float) as weight
    from decisions
    anti join scored
        on
            decisions.profile_key = scored.profile_key
            and decisions.other_profile_key = scored.other_profile_key
    inner join {{ ref('int_profiles_formed') }} as one
        on decisions.profile_key = one.profile_key
    inner join {{ ref('int_profiles_formed') }} as other
        on decisions.other_profile_key = other.profile_key
),

refused as (
    select
        profile_key,
        other_profile_key,
        -- a link is refused once
        min(reason) as reason
    from {{ ref('int_merges_refused') }}
    group by profile_key, other_profile_key
),

pairs as (
    select
        candidates.profile_key,
        candidates.pattern,
        candidates.namesakes,
        one.customer_id,
        other.customer_id as other_customer_id,
        one.source_record_id,
        other.source_record_id as other_source_record_id,
        {{ rarity_of_pair('one', 'other') }},
        case
            when decisions.verdict = 'same' then 'decided_same'
            when decisions.verdict = 'not_same' then 'decided_not_same'
            when candidates.weight >= {{ weight_of('match_probability') }}
                then if(one.customer_id = other.customer_id, 'matched', 'refused')
            -- below the threshold it is a question only while no other link has answered it
            when one.customer_id <> other.customer_id then 'review'
        end as outcome,
        refused.reason as refused_reason,
        decisions.decision_id,
        decisions.decided_by,
        decisions.decided_at,
        decisions.reason as decision_reason
    from (
        select * from scored
        union all
        select * from decided_pairs
    ) as candidates
    inner join profiles as one on candidates.profile_key = one.profile_key
    inner join profiles as other on candidates.other_profile_key = other.profile_key
    left join refused
        on
            candidates.profile_key = refused.profile_key
            and candidates.other_profile_key = refused.other_profile_key
    left join decisions
        on
            candidates.profile_key = decisions.profile_key
            and candidates.other_profile_key = decisions.other_profile_key
),

copied_profiles as (
    select
        formed.profile_key,
        {{ pattern('formed', 'formed') }} as pattern
    from {{ ref('int_profiles_formed') }} as formed
    inner join representatives on formed.profile_key = representatives.profile_key
    where not formed.is_weak and representatives.record_count > 1
),

links as (
    select
        * exclude (refused_reason),
        if(outcome = 'refused', refused_reason, null) as refused_reason
    from pairs
    where outcome is not null

    union all by name

    select
        profiles.profile_key,
        copied_profiles.pattern,
        1 as namesakes,
        profiles.customer_id,
        profiles.customer_id as other_customer_id,
        profiles.source_record_id,
        records.source_record_id as other_source_record_id,
        {{ rarity_of_pair('profiles', 'profiles') }},
        'same_evidence' as outcome
    from copied_profiles
    inner join profiles on copied_profiles.profile_key = profiles.profile_key
    inner join records
        on
            copied_profiles.profile_key = records.profile_key
            and profiles.source_record_id <> records.source_record_id
    -- a bare name that nothing matches does not hold its records together
    inner join {{ ref('int_records_assigned') }} as assigned
        on
            {{ hash_of(['records.source_record_id']) }} = assigned.record_key
            and profiles.customer_id = assigned.customer_id
),

priors as (
    select
        context,
        bits,
        coalesce(nullif(concat_ws(
            ', ',
            case shared_email
                when 'personal' then 'e-mail' when 'shared' then 'household e-mail'
            end,
            case shared_phone when 'personal' then 'phone' when 'shared' then 'household phone' end,
            case shared_address when 'exact' then 'address' end
        ), ''), 'nothing') as shared_contacts
    from {{ ref('int_priors_scaled') }}
),

levels as (
    select * from {{ ref('int_levels_weighed') }}
),

patterns_seen as (
    select distinct pattern from links
),

-- a few thousand: decoded once each, and rounded so that the bits add up exactly
patterns as (
    select
        {% for name in names %}
        {{ name }}.meaning as {{ name }}_level,
        cast(
            if(weighed.context = 0, {{ name }}.bits, {{ name }}.household_bits) as decimal(9, 4)
        ) as {{ name }}_bits,
        {% endfor %}
        weighed.pattern as seen_pattern,
        weighed.weight,
        weighed.akin_weight,
        weighed.exact_bits,
        weighed.profile_count,
        weighed.own_namesakes,
        weighed.has_names_bits,
        weighed.has_first_name_bits,
        weighed.has_last_name_bits,
        weighed.has_city_bits,
        priors.shared_contacts,
        cast(priors.bits as decimal(9, 4)) as prior_bits
    from patterns_seen
    inner join {{ ref('int_patterns_weighed') }} as weighed
        on patterns_seen.pattern = weighed.pattern
    inner join priors on weighed.context = priors.context
    {% for name in names %}
    inner join levels as {{ name }}
        on
            {{ name }}.comparison = '{{ name }}'
            and {{ name }}.level = {{ level_of(name, 'patterns_seen.pattern') }}
    {% endfor %}
),

explained as (
    select
        links.* exclude (first_name_bits, last_name_bits, names_bits, city_bits), -- noqa: RF02
        patterns.*,
        cast(
            {{ rarity('patterns', 'links', 'links.namesakes') }} - patterns.exact_bits
            as decimal(9, 4)
        ) as frequency_bits
    from links
    inner join patterns on links.pattern = patterns.seen_pattern
),

added_up as (
    select
        *,
        cast(
            prior_bits
            {% for name in names %}
            + {{ name }}_bits
            {% endfor %}
            + frequency_bits as decimal(9, 4)
        ) as match_weight
    from explained
)

-- the smaller record first: which of the two is smaller must not hang on a hash
select
    if(source_record_id < other_source_record_id, customer_id, other_customer_id) as customer_id,
    if(source_record_id < other_source_record_id, other_customer_id, customer_id)
        as other_customer_id,
    least(source_record_id, other_source_record_id) as source_record_id,
    greatest(source_record_id, other_source_record_id) as other_source_record_id,
    outcome,
    round(1 / (1 + pow(2, -cast(match_weight as double))), 6) as match_probability,
    match_weight,
    shared_contacts,
    prior_bits,
    {% for name in names %}
    {{ name }}_level,
    {{ name }}_bits,
    {% endfor %}
    frequency_bits,
    refused_reason,
    decision_id,
    decided_by,
    decided_at,
    decision_reason
from added_up
