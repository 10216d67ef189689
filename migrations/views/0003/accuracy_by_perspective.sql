-- The same for distance pairs by whether the farther object is higher in the image (consistent), lower (counter) or neither (ambiguous).
-- Grain: one row per run and perspective. Bounds are those of answer_shares.
CREATE VIEW accuracy_by_perspective AS
SELECT
    answer_shares.run_id, runs.family, runs.scale, datasets.name AS dataset, runs.dataset_id, runs.template, runs.status, runs.samples_seen,
    answer_shares.name AS perspective,
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
FROM answer_shares
INNER JOIN runs ON answer_shares.run_id = runs.run_id
INNER JOIN datasets ON runs.dataset_id = datasets.dataset_id
WHERE kind = 'perspective'
GROUP BY answer_shares.run_id, runs.family, runs.scale, datasets.name, runs.dataset_id, runs.template, runs.status, runs.samples_seen, answer_shares.name
