-- Grain: one row per customer id that was published once and is no longer in use.
-- Follow it once: a redirect never points to another redirect.
select
    customer_id,
    current_customer_id,
    redirected_on
from {{ ref('int_customer_redirects_resolved') }}
