-- Grain: one row per context: the log2 odds of one person before two profiles are compared.
-- Of two out of many, few are one: outside a household the odds halve when the landing doubles.
-- There the prior is matches per profile: of all matches, also those that share a contact.
with sizes as (
    -- in powers of two, so that weights stay as they are while a landing grows a little
    select pow(2, round(log2(greatest(count(*), 2)))) as profile_count
    from {{ ref('int_records_unioned') }}
),

priors as (
    select
        match_priors.*,
        case
            when match_priors.context = 0
                then least(2 * match_priors.prior / sizes.profile_count, 0.5)
            else match_priors.prior
        end as probability,
        sizes.profile_count
    from {{ ref('match_priors') }} as match_priors
    cross join sizes
)

select
    context,
    shared_email,
    shared_phone,
    shared_address,
    log2(probability / (1 - probability)) as bits,
    profile_count,
    -- other profiles of the person that a profile is of
    max(2 * case when priors.context = 0 then priors.prior end) over () as partners
from priors
