-- Grain: one row per pattern of levels, about 144,000; what two profiles' likeness says, in bits.
-- The bits of its levels and the prior of what the two share; what rarity adds hangs on the value.
with levels as (
    select * from {{ ref('int_levels_weighed') }}
),

priors as (
    select
        context,
        bits
    from {{ ref('int_priors_scaled') }}
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
        first_name.level = 1 as is_first_name_exact,
        last_name.level = 1 as is_last_name_exact,
        -- level 4 of an address: the city is all they have in common
        address.level = 4 as is_city_equal
    from {{ comparisons() | map(attribute='name') | join(' cross join ') }}
),

placed as (
    select
        *,
        cast(pattern_part as integer) as pattern,
        {{ household_context('pattern_part') }} as context
    from combined
)

select
    placed.pattern,
    cast(placed.context as utinyint) as context,
    cast(
        priors.bits + if(placed.context = 0, placed.bits, placed.household_bits) as float
    ) as weight,
    placed.is_first_name_exact as has_first_name_bits,
    -- a family name that is all of a family's is no coincidence, however rare
    placed.is_last_name_exact and placed.context = 0 as has_last_name_bits,
    placed.is_city_equal as has_city_bits,
    cast(placed.cohesion as float) as cohesion
from placed
inner join priors on placed.context = priors.context
