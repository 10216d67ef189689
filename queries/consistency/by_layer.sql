-- question: How does a metric run over the layers of each scale?
-- grain: one row per run, target and layer
-- param metric text = axis_coherence: the metric's name
-- param subset text = all: all or both_correct
-- param family text = null: only this family
-- param template text = null: only under this question template
-- param run_id text = null: only this run
SELECT
    family, scale, samples_seen, dataset, template, metric, subset, target, layer, value, std, n, ci_low, ci_high,
    run_id, dataset_id
FROM consistency
WHERE metric = $metric AND subset = $subset AND layer >= 0
    AND ($family IS NULL OR family = $family)
    AND ($template IS NULL OR template = $template)
    AND ($run_id IS NULL OR run_id = $run_id)
ORDER BY family, samples_seen NULLS LAST, scale, template, target, layer, run_id
