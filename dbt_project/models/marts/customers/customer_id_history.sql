-- Grain: one row per event in the life of a customer id; releases are counted from 1.
-- An id that merged or was withdrawn is explained here; where it leads now says customer_redirects.
select
    customer_id,
    event,
    other_customer_id,
    release_number,
    occurred_on,
    reason
from {{ ref('int_customer_ids_recorded') }}
