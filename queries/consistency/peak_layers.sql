-- question: At which layer is each axis most coherent, and how coherent is it there?
-- grain: one row per run and axis
-- param family text = null: only this family
-- param subset text = all: all or both_correct
-- param template text = null: only under this question template
-- param run_id text = null: only this run
SELECT
    family, scale, samples_seen, dataset, template, target AS axis, layer, value, ci_low, ci_high, n,
    consistency.run_id
FROM consistency
LEFT JOIN run_axes ON consistency.run_id = run_axes.run_id AND consistency.target = run_axes.axis
WHERE metric = 'axis_coherence' AND subset = $subset AND value IS NOT NULL
    AND ($family IS NULL OR family = $family)
    AND ($template IS NULL OR template = $template)
    AND ($run_id IS NULL OR consistency.run_id = $run_id)
QUALIFY row_number() OVER (PARTITION BY consistency.run_id, target ORDER BY value DESC, layer) = 1
ORDER BY family, samples_seen NULLS LAST, scale, template, run_axes.position
