-- question: Which runs are there (and which controls, if asked for), on what, from which checkpoint, how many pairs did each answer, and what has a reader to know?
-- grain: one row per run
-- param run_id text = null: only this run
-- param family text = null: only this family
-- param scale text = null: only this scale
-- param dataset text = null: only on this dataset (its name)
-- param template text = null: only under this question template
-- param status text = null: only with this status (complete, running, interrupted, failed, created)
-- param controls text = null: 'also' lists control runs too; a control that run_id names is listed anyway
SELECT
    runs.run_id, runs.family, runs.scale, datasets.name AS dataset, runs.template, runs.status,
    coalesce(counts.n_pairs, 0) AS n_pairs, coalesce(counts.n_failed, 0) AS n_failed, runs.n_layers, runs.dim,
    runs.dtype, runs.device, runs.checkpoint, runs.samples_seen, runs.global_steps, runs.dataset_id,
    runs.provenance, runs.created_at, coalesce(counts.n_unnamed, 0) AS n_unnamed,
    coalesce(
        (
            SELECT string_agg((runs.config -> 'notes') ->> place, '; ' ORDER BY place)
            FROM generate_series(0, CAST(json_array_length(runs.config -> 'notes') AS INTEGER) - 1) AS places(place)
        ),
        ''
    ) AS notes,
    runs.control, runs.serves
FROM runs
INNER JOIN datasets ON runs.dataset_id = datasets.dataset_id
LEFT JOIN every_run_count AS counts ON runs.run_id = counts.run_id
WHERE ($run_id IS NULL OR runs.run_id = $run_id)
    AND ($family IS NULL OR runs.family = $family)
    AND ($scale IS NULL OR runs.scale = $scale)
    AND ($dataset IS NULL OR datasets.name = $dataset)
    AND ($template IS NULL OR runs.template = $template)
    AND ($status IS NULL OR runs.status = $status)
    AND (runs.control IS NULL OR $controls = 'also' OR runs.run_id = $run_id)
ORDER BY runs.created_at, runs.run_id
