-- question: How often are both questions of a pair answered right, by axis and scale?
-- grain: one row per run and axis, and one per run for 'overall'
-- param family text = null: only this family
-- param dataset text = null: only this dataset (its name)
-- param template text = null: only under this question template
-- param run_id text = null: only this run
-- param first_run text = null: only runs from this run_id on (ids are in the order of time)
-- param last_run text = null: only runs up to this run_id
SELECT
    accuracy.family, accuracy.scale, accuracy.samples_seen, accuracy.dataset, accuracy.template, accuracy.axis, n, n_images,
    acc_orig, acc_orig_low, acc_orig_high,
    acc_swap, acc_swap_low, acc_swap_high,
    acc_both, acc_both_low, acc_both_high,
    accuracy.run_id, accuracy.dataset_id
FROM accuracy
LEFT JOIN run_axes ON accuracy.run_id = run_axes.run_id AND accuracy.axis = run_axes.axis
WHERE ($family IS NULL OR accuracy.family = $family)
    AND ($dataset IS NULL OR accuracy.dataset = $dataset)
    AND ($template IS NULL OR accuracy.template = $template)
    AND ($run_id IS NULL OR accuracy.run_id = $run_id)
    AND ($first_run IS NULL OR accuracy.run_id >= $first_run)
    AND ($last_run IS NULL OR accuracy.run_id <= $last_run)
ORDER BY
    accuracy.family, accuracy.samples_seen NULLS LAST, accuracy.scale, accuracy.template,
    run_axes.position NULLS LAST, accuracy.run_id
