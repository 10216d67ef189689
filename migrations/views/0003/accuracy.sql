-- How often is each side, and are both sides, answered right?
-- Grain: one row per run and axis, and one per run for 'overall'. Bounds are Wilson score bounds at 95 % (z2 = 1.959963984540054 squared).
CREATE VIEW accuracy AS
WITH
counts AS (
    SELECT run_id, family, scale, dataset, dataset_id, template, status, samples_seen, axis,
        count(*) AS n,
        sum(CAST(orig_correct AS INTEGER)) AS k_orig,
        sum(CAST(swap_correct AS INTEGER)) AS k_swap,
        sum(CAST(both_correct AS INTEGER)) AS k_both
    FROM pair_answers
    WHERE origin = 'row'
    GROUP BY run_id, family, scale, dataset, dataset_id, template, status, samples_seen, axis
    UNION ALL
    SELECT run_id, family, scale, dataset, dataset_id, template, status, samples_seen, 'overall' AS axis,
        count(*) AS n,
        sum(CAST(orig_correct AS INTEGER)) AS k_orig,
        sum(CAST(swap_correct AS INTEGER)) AS k_swap,
        sum(CAST(both_correct AS INTEGER)) AS k_both
    FROM pair_answers
    WHERE origin = 'row'
    GROUP BY run_id, family, scale, dataset, dataset_id, template, status, samples_seen
)
SELECT
    run_id, family, scale, dataset, dataset_id, template, status, samples_seen, axis, n,
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
