-- Grain: one row per link along which a merge was refused, with the reason.
-- Two refusals between the same clusters are two rows: each link was evidence that did not count.
{{ config(materialized='view') }}

select
    profile_key,
    other_profile_key,
    weight,
    reason
from {{ ref('int_merges_decided') }}
where reason is not null
