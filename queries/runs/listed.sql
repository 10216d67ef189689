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
    coalesce(answered.n, 0) AS n_pairs, coalesce(failed.n, 0) AS n_failed, runs.n_layers, runs.dim,
    runs.dtype, runs.device, runs.checkpoint, runs.samples_seen, runs.global_steps, runs.dataset_id,
    runs.provenance, runs.created_at, coalesce(answered.n_unnamed, 0) AS n_unnamed,
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
LEFT JOIN (
    SELECT run_id, count(DISTINCT pair_id) AS n, count(*) FILTER (WHERE parsed IS NULL) AS n_unnamed
    FROM predictions
    GROUP BY run_id
) AS answered
    ON runs.run_id = answered.run_id
LEFT JOIN (
    SELECT failures.run_id, count(DISTINCT failures.pair_id) AS n
    FROM failures
    LEFT JOIN predictions ON failures.run_id = predictions.run_id AND failures.pair_id = predictions.pair_id
    WHERE predictions.pair_id IS NULL
    GROUP BY failures.run_id
) AS failed ON runs.run_id = failed.run_id
WHERE ($run_id IS NULL OR runs.run_id = $run_id)
    AND ($family IS NULL OR runs.family = $family)
    AND ($scale IS NULL OR runs.scale = $scale)
    AND ($dataset IS NULL OR datasets.name = $dataset)
    AND ($template IS NULL OR runs.template = $template)
    AND ($status IS NULL OR runs.status = $status)
    AND (runs.control IS NULL OR $controls = 'also' OR runs.run_id = $run_id)
ORDER BY runs.created_at, runs.run_id
