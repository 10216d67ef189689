-- question: What does each metric say under each question template, on the same pairs?
-- grain: one row per family, scale, dataset, metric, target and template: the newest analyzed run, where several templates were asked
-- param metrics text = accuracy.both,axis_coherence.balanced,vd_ei.corrected,consistent_share: the metrics' names, with commas between
-- param subset text = all: all or both_correct
-- param family text = null: only this family
-- param run_ids text = null: only these runs (their run_ids, with commas between)
WITH
newest AS (
    SELECT run_id, family, scale, samples_seen, dataset_id, template
    FROM runs
    WHERE status = 'complete' AND control IS NULL AND run_id IN (SELECT run_id FROM metrics)
        AND ($family IS NULL OR family = $family)
        AND ($run_ids IS NULL OR list_contains(string_split($run_ids, ','), run_id))
    QUALIFY row_number() OVER (
        PARTITION BY family, scale, dataset_id, template ORDER BY created_at DESC, run_id DESC
    ) = 1
),
asked_otherwise AS (
    SELECT * FROM newest QUALIFY count(*) OVER (PARTITION BY family, scale, dataset_id) > 1
),
most_coherent_layer AS (
    SELECT run_id, layer
    FROM metrics
    WHERE name = 'axis_coherence' AND subset = $subset AND value IS NOT NULL
    GROUP BY run_id, layer
    QUALIFY row_number() OVER (PARTITION BY run_id ORDER BY avg(value) DESC, layer DESC) = 1
)
-- Of axis_coherence the highest over layers; other metrics of layers where the run's axes are most coherent on average.
SELECT
    runs.family, runs.scale, runs.samples_seen, datasets.name AS dataset, metrics.name AS metric, metrics.target,
    runs.template, metrics.layer, metrics.value,
    -- The interval of a layer does not know that the highest value was looked for.
    CASE WHEN metrics.name <> 'axis_coherence' THEN metrics.ci_low END AS ci_low,
    CASE WHEN metrics.name <> 'axis_coherence' THEN metrics.ci_high END AS ci_high,
    metrics.n, runs.run_id, runs.dataset_id
FROM asked_otherwise AS runs
INNER JOIN datasets ON runs.dataset_id = datasets.dataset_id
INNER JOIN metrics ON runs.run_id = metrics.run_id
LEFT JOIN most_coherent_layer ON runs.run_id = most_coherent_layer.run_id
LEFT JOIN run_axes AS own ON runs.run_id = own.run_id AND metrics.target = own.axis
LEFT JOIN run_axes AS part_1 ON runs.run_id = part_1.run_id AND split_part(metrics.target, '/', 1) = part_1.axis
LEFT JOIN run_axes AS part_2 ON runs.run_id = part_2.run_id AND split_part(metrics.target, '/', 2) = part_2.axis
WHERE list_contains(string_split($metrics, ','), metrics.name) AND metrics.subset = $subset
    AND (metrics.layer = -1 OR metrics.name = 'axis_coherence' OR metrics.layer = most_coherent_layer.layer)
QUALIFY row_number() OVER (
    PARTITION BY runs.run_id, metrics.name, metrics.target
    ORDER BY metrics.version DESC, metrics.value DESC NULLS LAST, metrics.layer
) = 1
ORDER BY
    runs.family, runs.samples_seen NULLS LAST, runs.scale, dataset, runs.dataset_id,
    list_position(string_split($metrics, ','), metrics.name),
    -- The axes, all of them together, pairs of axes (their controls last), everything else.
    own.position NULLS LAST, CASE WHEN metrics.target = 'overall' THEN 0 ELSE 1 END,
    part_1.position DESC NULLS LAST, part_2.position NULLS LAST, metrics.target,
    list_position(
        [
            'published', 'mention-swapped', 'options-swapped', 'balanced', 'three-options', 'four-options',
            'yes-no', 'yes-no-opposite'
        ],
        runs.template
    ) NULLS LAST,
    runs.template
