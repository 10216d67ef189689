-- The same for distance pairs by whether the farther object is higher in the image (consistent), lower (counter) or neither (ambiguous).
-- Grain: one row per run and perspective. Bounds are Wilson score bounds at 95 % (z2 = 1.959963984540054 squared).
CREATE VIEW accuracy_by_perspective AS
WITH
counts AS (
    SELECT run_id, family, scale, dataset, dataset_id, template, status, samples_seen, perspective,
        count(*) AS n,
        sum(CAST(orig_correct AS INTEGER)) AS k_orig,
        sum(CAST(swap_correct AS INTEGER)) AS k_swap,
        sum(CAST(both_correct AS INTEGER)) AS k_both
    FROM pair_answers
    WHERE origin = 'row'
        AND axis = 'distance'
        AND perspective IS NOT NULL
    GROUP BY run_id, family, scale, dataset, dataset_id, template, status, samples_seen, perspective
)
SELECT
    run_id, family, scale, dataset, dataset_id, template, status, samples_seen, perspective, n,
    k_orig / CAST(n AS DOUBLE) AS acc_orig,
    greatest(0, (k_orig + z2 / 2 - sqrt(z2) * sqrt(k_orig * (n - k_orig) / CAST(n AS DOUBLE) + z2 / 4)) / (n + z2)) AS acc_orig_low,
    least(1, (k_orig + z2 / 2 + sqrt(z2) * sqrt(k_orig * (n - k_orig) / CAST(n AS DOUBLE) + z2 / 4)) / (n + z2)) AS acc_orig_high,
    k_swap / CAST(n AS DOUBLE) AS acc_swap,
    greatest(0, (k_swap + z2 / 2 - sqrt(z2) * sqrt(k_swap * (n - k_swap) / CAST(n AS DOUBLE) + z2 / 4)) / (n + z2)) AS acc_swap_low,
    least(1, (k_swap + z2 / 2 + sqrt(z2) * sqrt(k_swap * (n - k_swap) / CAST(n AS DOUBLE) + z2 / 4)) / (n + z2)) AS acc_swap_high,
    k_both / CAST(n AS DOUBLE) AS acc_both,
    greatest(0, (k_both + z2 / 2 - sqrt(z2) * sqrt(k_both * (n - k_both) / CAST(n AS DOUBLE) + z2 / 4)) / (n + z2)) AS acc_both_low,
    least(1, (k_both + z2 / 2 + sqrt(z2) * sqrt(k_both * (n - k_both) / CAST(n AS DOUBLE) + z2 / 4)) / (n + z2)) AS acc_both_high
FROM (SELECT *, CAST(3.8414588206941254 AS DOUBLE) AS z2 FROM counts) AS counted
