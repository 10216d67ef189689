-- question: At which layer is each axis most coherent, and how coherent is it there?
-- grain: one row per run and axis
-- param family text = null: only this family
-- param subset text = all: all or both_correct
-- param template text = null: only under this question template
-- param run_id text = null: only this run
SELECT
    peaks.family, peaks.scale, peaks.samples_seen, peaks.dataset, peaks.template,
    target AS axis, layer, value, ci_low, ci_high, n,
    peaks.run_id, peaks.dataset_id
FROM consistency AS peaks
LEFT JOIN run_axes ON peaks.run_id = run_axes.run_id AND peaks.target = run_axes.axis
WHERE metric = 'axis_coherence' AND subset = $subset AND value IS NOT NULL
    AND ($family IS NULL OR peaks.family = $family)
    AND ($template IS NULL OR peaks.template = $template)
    AND ($run_id IS NULL OR peaks.run_id = $run_id)
QUALIFY row_number() OVER (PARTITION BY peaks.run_id, target ORDER BY value DESC, layer) = 1
ORDER BY peaks.family, peaks.samples_seen NULLS LAST, peaks.scale, peaks.template, run_axes.position
