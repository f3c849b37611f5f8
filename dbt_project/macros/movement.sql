{#- How a layer's measures stand against the last release, judged by the seed release_bands.
    `share` is the measure itself, `growth` the change relative to the last release in either
    direction, `difference` the change of a share. Not judged: without a release before, or when
    it concerns fewer than `least_count`, for a band would cry wolf over a handful. -#}
{% macro judged_measures(measured, layer) -%}
    with bands as (
        select * from {{ ref('release_bands') }}
        where layer = '{{ layer }}'
    ),

    measured as (
        select * from {{ measured }}
    ),

    released as (
        select * from {{ source('state', 'released_measures') }}
    ),

    compared as (
        select
            bands.measure,
            bands.meaning,
            bands.compared,
            measured.counted,
            measured.out_of,
            measured.value,
            released.value as released_value,
            case bands.compared
                when 'share' then measured.value
                when 'growth' then abs(measured.value / nullif(released.value, 0) - 1)
                when 'difference' then abs(measured.value - released.value)
            end as movement,
            bands.warning,
            bands.critical,
            bands.least_count
        from bands
        inner join measured on bands.measure = measured.measure
        left join released on bands.measure = released.measure
    )

    select
        *,
        case
            when movement is null or counted < least_count then 'not judged'
            when movement > critical then 'critical'
            when movement > warning then 'warning'
            else 'within'
        end as verdict,
        measure || ' (' || meaning || '): '
        || case
            when compared <> 'share'
                then round(value, 3) || ' instead of ' || round(released_value, 3)
            when counted = out_of then round(100 * value, 1) || ' %'
            else counted || ' of ' || out_of || ', ' || round(100 * value, 1) || ' %'
        end
        || '; the last release may be left by ' || round(100 * warning, 1)
        || ' % without a warning, by ' || round(100 * critical, 1) || ' % at most' as sentence
    from compared
{%- endmacro %}
