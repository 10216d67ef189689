-- question: What does each metric say under each question template, on the same pairs?
-- grain: one row per family, scale, dataset, metric, target and template: the newest analyzed run, where several templates were asked
-- param metrics text = accuracy.both,axis_coherence.balanced,vd_ei.corrected,consistent_share: the metrics' names, with commas between
-- param subset text = all: all or both_correct
-- param family text = null: only this family
-- param run_ids text = null: only these runs (their run_ids, with commas between)
WITH
asked AS (
    SELECT run_id, family, scale, samples_seen, dataset_id, template,
        row_number() OVER (
            PARTITION BY family, scale, dataset_id, template ORDER BY created_at DESC NULLS LAST, run_id DESC NULLS LAST
        ) AS place
    FROM runs
    WHERE status = 'complete' AND control IS NULL AND run_id IN (SELECT run_id FROM metrics)
        AND ($family IS NULL OR family = $family)
        AND ($run_ids IS NULL OR run_id = ANY(string_to_array($run_ids, ',')))
),
newest AS (
    SELECT *, count(*) OVER (PARTITION BY family, scale, dataset_id) AS templates FROM asked WHERE place = 1
),
asked_otherwise AS (
    SELECT * FROM newest WHERE templates > 1
),
coherent_layers AS (
    SELECT run_id, layer, row_number() OVER (PARTITION BY run_id ORDER BY avg(value) DESC NULLS LAST, layer DESC NULLS LAST) AS place
    FROM metrics
    WHERE name = 'axis_coherence' AND subset = $subset AND value IS NOT NULL
    GROUP BY run_id, layer
),
most_coherent_layer AS (
    SELECT run_id, layer FROM coherent_layers WHERE place = 1
),
-- Of axis_coherence the highest over layers; other metrics of layers where the run's axes are most coherent on average.
values_of_layers AS (
    SELECT metrics.*,
        row_number() OVER (
            PARTITION BY metrics.run_id, metrics.name, metrics.target
            ORDER BY metrics.version DESC NULLS LAST, metrics.value DESC NULLS LAST, metrics.layer
        ) AS place
    FROM asked_otherwise AS runs
    INNER JOIN metrics ON runs.run_id = metrics.run_id
    LEFT JOIN most_coherent_layer ON runs.run_id = most_coherent_layer.run_id
    WHERE metrics.name = ANY(string_to_array($metrics, ',')) AND metrics.subset = $subset
        AND (metrics.layer = -1 OR metrics.name = 'axis_coherence' OR metrics.layer = most_coherent_layer.layer)
)
SELECT
    runs.family, runs.scale, runs.samples_seen, datasets.name AS dataset, metrics.name AS metric, metrics.target,
    runs.template, metrics.layer, metrics.value,
    -- The interval of a layer does not know that the highest value was looked for.
    CASE WHEN metrics.name <> 'axis_coherence' THEN metrics.ci_low END AS ci_low,
    CASE WHEN metrics.name <> 'axis_coherence' THEN metrics.ci_high END AS ci_high,
    metrics.n, runs.run_id, runs.dataset_id
FROM asked_otherwise AS runs
INNER JOIN datasets ON runs.dataset_id = datasets.dataset_id
INNER JOIN values_of_layers AS metrics ON runs.run_id = metrics.run_id AND metrics.place = 1
LEFT JOIN run_axes AS own ON runs.run_id = own.run_id AND metrics.target = own.axis
LEFT JOIN run_axes AS part_1 ON runs.run_id = part_1.run_id AND split_part(metrics.target, '/', 1) = part_1.axis
LEFT JOIN run_axes AS part_2 ON runs.run_id = part_2.run_id AND split_part(metrics.target, '/', 2) = part_2.axis
ORDER BY
    runs.family, runs.samples_seen NULLS LAST, runs.scale, dataset, runs.dataset_id,
    array_position(string_to_array($metrics, ','), metrics.name),
    -- The axes, all of them together, pairs of axes (their controls last), everything else.
    own.position NULLS LAST, CASE WHEN metrics.target = 'overall' THEN 0 ELSE 1 END,
    part_1.position DESC NULLS LAST, part_2.position NULLS LAST, metrics.target,
    array_position(
        ARRAY[
            'published', 'mention-swapped', 'options-swapped', 'balanced', 'three-options', 'four-options',
            'yes-no', 'yes-no-opposite'
        ],
        runs.template
    ) NULLS LAST,
    runs.template
