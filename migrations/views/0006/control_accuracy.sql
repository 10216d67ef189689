-- How often does a control answer each side, and both sides, right?
-- Grain: one row per control and axis, and one per control for 'overall'. Answers about another axis are neither right nor wrong. Bounds are those of every_answer_share.
CREATE VIEW control_accuracy AS
SELECT
    every_answer_share.run_id, runs.control, runs.serves, runs.family, runs.scale, datasets.name AS dataset, runs.dataset_id, runs.template, runs.status, runs.samples_seen,
    every_answer_share.name AS axis,
    max(n) AS n, max(n_images) AS n_images,
    max(CASE WHEN side = 'orig' THEN share END) AS acc_orig,
    max(CASE WHEN side = 'orig' THEN low END) AS acc_orig_low,
    max(CASE WHEN side = 'orig' THEN high END) AS acc_orig_high,
    max(CASE WHEN side = 'swap' THEN share END) AS acc_swap,
    max(CASE WHEN side = 'swap' THEN low END) AS acc_swap_low,
    max(CASE WHEN side = 'swap' THEN high END) AS acc_swap_high,
    max(CASE WHEN side = 'both' THEN share END) AS acc_both,
    max(CASE WHEN side = 'both' THEN low END) AS acc_both_low,
    max(CASE WHEN side = 'both' THEN high END) AS acc_both_high
FROM every_answer_share
INNER JOIN runs ON every_answer_share.run_id = runs.run_id
INNER JOIN datasets ON runs.dataset_id = datasets.dataset_id
WHERE kind = 'axis' AND runs.control IS NOT NULL AND runs.control <> 'other-axis'
GROUP BY every_answer_share.run_id, runs.control, runs.serves, runs.family, runs.scale, datasets.name, runs.dataset_id, runs.template, runs.status, runs.samples_seen, every_answer_share.name
