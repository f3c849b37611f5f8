-- Grain: one row per measure of release_bands that the marts take.
-- Time alone moves them too: the bands are for one release after another, a day or a week apart.
{{ judged_measures(ref('int_marts_measured'), 'marts') }}
