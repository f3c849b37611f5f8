-- Grain: one row per measure of release_bands that identity takes.
-- The sentence names the three weightiest causes; a gate shows it when a band is broken.
with judged as (
    {{ judged_measures(ref('int_identity_measured'), 'identity') }}
),

causes as (
    select
        measure,
        string_agg(cause, ', ' order by place) as causes
    from {{ ref('int_movement_causes_ranked') }}
    where place <= 3
    group by measure
)

select
    judged.* replace (
        judged.sentence || coalesce('. Causes: ' || causes.causes, '') as sentence
    )
from judged
left join causes
    on
        -- an id that moves was merged or split
        case judged.measure when 'moved_customers' then 'merged_customers' else judged.measure end
        = causes.measure
