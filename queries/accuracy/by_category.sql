-- question: Which categories does each scale answer right, and which are too unreliable to read deltas from?
-- grain: one row per run and category
-- param family text = null: only this family
-- param template text = null: only under this question template
-- param run_id text = null: only this run
-- param first_run text = null: only runs from this run_id on (ids are in the order of time)
-- param last_run text = null: only runs up to this run_id
SELECT
    by_category.family, by_category.scale, by_category.samples_seen, by_category.dataset, by_category.template,
    by_category.axis, category, n, n_images,
    acc_orig, acc_orig_low, acc_orig_high,
    acc_swap, acc_swap_low, acc_swap_high,
    acc_both, acc_both_low, acc_both_high,
    reliable, by_category.run_id, by_category.dataset_id
FROM accuracy_by_category AS by_category
LEFT JOIN run_axes ON by_category.run_id = run_axes.run_id AND by_category.axis = run_axes.axis
WHERE ($family IS NULL OR by_category.family = $family)
    AND ($template IS NULL OR by_category.template = $template)
    AND ($run_id IS NULL OR by_category.run_id = $run_id)
    AND ($first_run IS NULL OR by_category.run_id >= $first_run)
    AND ($last_run IS NULL OR by_category.run_id <= $last_run)
ORDER BY
    by_category.family, by_category.samples_seen NULLS LAST, by_category.scale, by_category.template,
    run_axes.position, CASE WHEN category = run_axes.canonical THEN 0 ELSE 1 END, by_category.run_id
