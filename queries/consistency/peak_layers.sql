-- question: At which layer is each axis most coherent, and how coherent is it on the half of the images that did not choose it?
-- grain: one row per run and axis
-- param family text = null: only this family
-- param subset text = all: all or both_correct
-- param template text = null: only under this question template
-- param run_id text = null: only this run
-- param first_run text = null: only runs from this run_id on (ids are in the order of time)
-- param last_run text = null: only runs up to this run_id
WITH
peaks AS (
    SELECT *, row_number() OVER (PARTITION BY run_id, target ORDER BY value DESC NULLS LAST, layer) AS place
    FROM consistency
    WHERE metric = 'axis_coherence' AND subset = $subset AND value IS NOT NULL
        AND ($family IS NULL OR family = $family)
        AND ($template IS NULL OR template = $template)
        AND ($run_id IS NULL OR run_id = $run_id)
        AND ($first_run IS NULL OR run_id >= $first_run)
        AND ($last_run IS NULL OR run_id <= $last_run)
)
SELECT
    peaks.family, peaks.scale, peaks.samples_seen, peaks.dataset, peaks.template,
    peaks.target AS axis, peaks.layer, peaks.value,
    split.value AS split, split.ci_low AS split_low, split.ci_high AS split_high,
    peaks.n, peaks.n_images, peaks.run_id, peaks.dataset_id
FROM peaks
LEFT JOIN run_axes ON peaks.run_id = run_axes.run_id AND peaks.target = run_axes.axis
LEFT JOIN consistency AS split
    ON peaks.run_id = split.run_id AND peaks.subset = split.subset AND peaks.target = split.target
    AND split.metric = 'axis_coherence.split'
WHERE peaks.place = 1
ORDER BY peaks.family, peaks.samples_seen NULLS LAST, peaks.scale, peaks.template, run_axes.position, peaks.run_id
