-- Grain: one row per pattern of levels, about 160,000; what two profiles' likeness says, in bits.
-- The bits of its levels and the prior of what the two share. Where values agree exactly, how rare
-- they are hangs on the values: the weight is without it; `exact_bits` is what it is on average.
with levels as (
    select * from {{ ref('int_levels_weighed') }}
),

priors as (
    select
        context,
        bits,
        profile_count,
        partners
    from {{ ref('int_priors_scaled') }}
),

-- how often two people agree on a value at all
averages as (
    select
        max(case when comparison = 'first_name' and level = 1 then -log2(u) end) as first_name_bits,
        max(case when comparison = 'last_name' and level = 1 then -log2(u) end) as last_name_bits,
        max(case when comparison = 'address' and level = 4 then -log2(u) end) as city_bits,
        -- nickname or not, swapped or not: all that a block of one pair of names can hold
        max(case when comparison = 'last_name' and level = 1 then -log2(u) end) - log2(
            sum(case when comparison = 'first_name' and level in (1, 2) then u end)
        ) as names_bits,
        max(case when comparison = 'first_name' and level = 1 then m end)
        * max(case when comparison = 'last_name' and level = 1 then m end) as same_names_ratio
    from {{ ref('match_levels') }}
),

{% for comparison in comparisons() %}
{{ comparison.name }} as (
    select * from levels
    where comparison = '{{ comparison.name }}'
),

{% endfor %}
-- All levels of all comparisons with each other: sums, instead of seven look-ups per row.
combined as (
    select
        {% for measure in ['pattern_part', 'bits', 'household_bits', 'cohesion'] %}
        {{ comparisons() | map(attribute='name') | join('.' ~ measure ~ ' + ') }}.{{ measure }}
            as {{ measure }},
        {% endfor %}
        first_name.household_bits + last_name.household_bits as household_names_bits,
        first_name.level as first_name_level,
        last_name.level as last_name_level,
        -- level 4 of an address: the city is all they have in common
        address.level = 4 as has_city_bits,
        coalesce({{ comparisons() | map(attribute='name') | join('.separation, ') }}.separation)
            as separation
    from {{ comparisons() | map(attribute='name') | join(' cross join ') }}
),

placed as (
    select
        *,
        cast(pattern_part as integer) as pattern,
        {{ household_context('pattern_part') }} as context
    from combined
),

-- in a family a name, first or last, is no coincidence however rare: sons bear their fathers'
judged as (
    select
        placed.*,
        priors.bits + if(placed.context = 0, placed.bits, placed.household_bits) as full_weight,
        -- against relatives of the same name: how often there are any, and what they share
        log2(priors.partners / {{ var('namesakes_akin') }})
        + placed.household_bits - placed.household_names_bits as akin_weight,
        priors.profile_count,
        priors.partners * averages.same_names_ratio as own_namesakes,
        averages.first_name_bits,
        averages.last_name_bits,
        averages.city_bits,
        averages.names_bits,
        placed.context = 0 and (
            placed.first_name_level in (1, 2) and placed.last_name_level = 1
            or placed.first_name_level = 7
        ) as has_names_bits,
        placed.first_name_level = 1 and placed.context = 0 as has_first_name_bits,
        placed.last_name_level = 1 and placed.context = 0 as has_last_name_bits
    from placed
    inner join priors on placed.context = priors.context
    cross join averages
),

averaged as (
    select
        *,
        case
            when has_names_bits then names_bits
            when has_first_name_bits and has_last_name_bits then first_name_bits + last_name_bits
            when has_first_name_bits then first_name_bits
            when has_last_name_bits then last_name_bits
            else 0
        end as exact_names_bits,
        case when has_city_bits then city_bits else 0 end as exact_city_bits
    from judged
)

select
    pattern,
    cast(context as utinyint) as context,
    cast(full_weight - exact_names_bits - exact_city_bits as float) as weight,
    cast(exact_names_bits + exact_city_bits as float) as exact_bits,
    has_names_bits,
    has_first_name_bits,
    has_last_name_bits,
    has_city_bits,
    cast(akin_weight as float) as akin_weight,
    cast(profile_count as float) as profile_count,
    cast(own_namesakes as float) as own_namesakes,
    cast(cohesion as float) as cohesion,
    separation
from averaged
