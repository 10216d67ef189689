-- question: What does each metric say of a run, with its interval?
-- grain: one row per run, metric, version, subset, target and layer (-1 = not per layer)
-- param run_id text = null: only this run
-- param metric text = null: only this metric
-- param subset text = null: all or both_correct
-- param target text = null: only this axis, category or pair of them
SELECT
    family, scale, samples_seen, dataset, template, metric, version, subset, target, layer,
    value, std, n, ci_low, ci_high, p_value, p_layers, n_images, method, reason, run_id, dataset_id
FROM consistency
WHERE ($run_id IS NULL OR run_id = $run_id)
    AND ($metric IS NULL OR metric = $metric)
    AND ($subset IS NULL OR subset = $subset)
    AND ($target IS NULL OR target = $target)
ORDER BY family, samples_seen NULLS LAST, scale, template, run_id, metric, version, subset, target, layer
