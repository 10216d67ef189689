-- The same per category; reliable: orig and swap are each right at least half of the time (category_validity).
-- Grain: one row per run and category. Bounds are those of answer_shares.
CREATE VIEW accuracy_by_category AS
SELECT
    answer_shares.run_id, runs.family, runs.scale, datasets.name AS dataset, runs.dataset_id, runs.template, runs.status, runs.samples_seen,
    answer_shares.name AS category, run_axes.axis,
    max(n) AS n, max(n_images) AS n_images,
    max(CASE WHEN side = 'orig' THEN share END) AS acc_orig,
    max(CASE WHEN side = 'orig' THEN low END) AS acc_orig_low,
    max(CASE WHEN side = 'orig' THEN high END) AS acc_orig_high,
    max(CASE WHEN side = 'swap' THEN share END) AS acc_swap,
    max(CASE WHEN side = 'swap' THEN low END) AS acc_swap_low,
    max(CASE WHEN side = 'swap' THEN high END) AS acc_swap_high,
    max(CASE WHEN side = 'both' THEN share END) AS acc_both,
    max(CASE WHEN side = 'both' THEN low END) AS acc_both_low,
    max(CASE WHEN side = 'both' THEN high END) AS acc_both_high,
    min(CASE WHEN side = 'both' THEN 1.0 ELSE share END) >= 0.5 AS reliable
FROM answer_shares
INNER JOIN runs ON answer_shares.run_id = runs.run_id
INNER JOIN datasets ON runs.dataset_id = datasets.dataset_id
INNER JOIN run_axes ON answer_shares.run_id = run_axes.run_id AND answer_shares.name IN (run_axes.canonical, run_axes.opposite)
WHERE kind = 'category'
GROUP BY answer_shares.run_id, runs.family, runs.scale, datasets.name, runs.dataset_id, runs.template, runs.status, runs.samples_seen, answer_shares.name, run_axes.axis
