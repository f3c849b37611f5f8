-- Grain: one row per cluster that a touched record is in or was in.
-- Filled in an increment only.
{% set touched = ref('int_records_touched') %}

select cluster_key from {{ touched }}
where cluster_key is not null
union
select cluster_key from {{ ref('int_records_clustered') }}
where record_key in (select record_key from {{ touched }})
