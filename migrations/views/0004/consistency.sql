-- What does each metric say, with its interval?
-- Grain: one row per run, metric, version, subset, target and layer (-1 = not per layer).
CREATE VIEW consistency AS
SELECT
    runs.run_id, runs.family, runs.scale, datasets.name AS dataset, runs.dataset_id, runs.template, runs.status, runs.samples_seen,
    metrics.name AS metric, metrics.version, metrics.subset, metrics.target, metrics.layer,
    metrics.value, metrics.std, metrics.n, metrics.ci_low, metrics.ci_high, metrics.p_value,
    metrics.p_layers, metrics.n_images, metrics.method, metrics.reason
FROM metrics
INNER JOIN runs ON metrics.run_id = runs.run_id
INNER JOIN datasets ON runs.dataset_id = datasets.dataset_id
WHERE runs.control IS NULL
