-- question: Which runs are there to compare, and how far did each get?
-- grain: one row per run
-- param family text = null: only this family
SELECT
    runs.family, runs.scale, runs.samples_seen, runs.global_steps, datasets.name AS dataset, runs.template, runs.status,
    coalesce(counts.n_pairs, 0) AS pairs, runs.n_layers AS layers, runs.dtype, runs.device, runs.checkpoint,
    runs.fingerprint, runs.run_id, runs.dataset_id
FROM runs
INNER JOIN datasets ON runs.dataset_id = datasets.dataset_id
LEFT JOIN every_run_count AS counts ON runs.run_id = counts.run_id
WHERE ($family IS NULL OR runs.family = $family) AND runs.control IS NULL
ORDER BY runs.family, runs.samples_seen NULLS LAST, runs.scale, runs.template, runs.run_id
