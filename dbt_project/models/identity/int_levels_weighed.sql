-- Grain: one row per comparison and level, 0 (not comparable) included: what it says, in bits.
-- Who shares a contact or address is told from family: household u, and the shared field is silent.
with levels as (
    select
        *,
        starts_with(meaning, 'exact') as is_exact,
        comparison in ('email', 'phone', 'address') as is_contact,
        sum(m) filter (where not starts_with(meaning, 'exact')) over levels_of_comparison
            as inexact_m,
        sum(household_u) filter (where not starts_with(meaning, 'exact')) over levels_of_comparison
            as inexact_household_u
    from {{ ref('match_levels') }}
    -- ordered, so that the last bit of a sum is always the same
    window levels_of_comparison as (
        partition by comparison order by level asc
        rows between unbounded preceding and unbounded following
    )
),

weighed as (
    select
        comparison,
        level,
        meaning,
        log2(m / u) as bits,
        case
            when not is_contact then log2(m / household_u)
            -- an equal contact is what the prior of the context speaks of
            when is_exact then 0
            else log2(m / inexact_m * inexact_household_u / household_u)
        end as household_bits,
        log2(m / household_u) as cohesion
    from levels

    union all

    -- no evidence for or against
    select distinct
        comparison,
        0 as level,
        'not comparable' as meaning,
        0 as bits,
        0 as household_bits,
        0 as cohesion
    from levels
)

select
    *,
    -- a different birth date or id separates two people when it is as rare among equals as it
    -- should be
    case
        when bits < {{ var('separation_bits') }}
            then case
                when comparison = 'birth_date' and level = 4 then 'the birth dates differ'
                when comparison = 'national_id' and level = 3 then 'the national ids differ'
            end
    end as separation,
    -- what the level is in a pattern: the sum over the comparisons is the pattern
    {% set place = namespace(value=1) -%}
    level * case comparison
        {%- for comparison in comparisons() %}
        when '{{ comparison.name }}' then {{ place.value }}
        {%- set place.value = place.value * comparison.levels %}
        {%- endfor %}
    end as pattern_part
from weighed
