-- Grain: one row per audience and customer who may be contacted for it on the as-of day.
-- It holds what a channel needs to reach them and nothing else; who is missing says `audiences`.
select
    audience,
    customer_id,
    address,
    {{ as_of_date() }} as as_of_date
from {{ ref('int_audience_candidates_judged') }}
where verdict = 'member'
