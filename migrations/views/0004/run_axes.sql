-- Which axes does a run's dataset have, in which order, and which of the two categories of each keeps its sign?
-- Grain: one row per run and axis.
CREATE VIEW run_axes AS
SELECT
    runs.run_id, runs.family, runs.scale, datasets.name AS dataset, runs.dataset_id, runs.template, runs.status, runs.samples_seen,
    axes.axis, axes.position, axes.canonical, axes.opposite
FROM runs
INNER JOIN datasets ON runs.dataset_id = datasets.dataset_id
INNER JOIN axes ON runs.dataset_id = axes.dataset_id
WHERE runs.control IS NULL
