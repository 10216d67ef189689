-- How often is each side, and are both sides, of a group of pairs answered right, by a run that is a control or not?
-- Grain: one row per run, kind of group, group and side; a pair is in its axis, in 'overall', in its category and, if it is about distance,
-- in its perspective. n counts pairs, k those that are right. Bounds are Wilson's at 95 %, at the effective number of pairs m = n / deff, with
-- Student's t (Hill's series) for z. deff says how much the pairs of an image go together; where none or all are right, m is the number of images.
-- Bounds are NULL where few images hold most pairs: (sum n)^2 / sum n^2 < 5. The same as vlmprobe.analysis.inference.effective_wilson.
CREATE VIEW every_answer_share AS
WITH
answers AS (
    SELECT run_id, image, 'axis' AS kind, axis AS name, orig_correct, swap_correct, both_correct
    FROM every_pair_answer
    WHERE origin = 'row'
    UNION ALL
    SELECT run_id, image, 'axis' AS kind, 'overall' AS name, orig_correct, swap_correct, both_correct
    FROM every_pair_answer
    WHERE origin = 'row'
    UNION ALL
    SELECT run_id, image, 'category' AS kind, category AS name, orig_correct, swap_correct, both_correct
    FROM every_pair_answer
    WHERE origin = 'row'
    UNION ALL
    SELECT run_id, image, 'perspective' AS kind, perspective AS name, orig_correct, swap_correct, both_correct
    FROM every_pair_answer
    WHERE origin = 'row' AND axis = 'distance' AND perspective IS NOT NULL
),
sides AS (
    SELECT run_id, image, kind, name, 'orig' AS side, orig_correct AS is_right
    FROM answers
    UNION ALL
    SELECT run_id, image, kind, name, 'swap' AS side, swap_correct AS is_right
    FROM answers
    UNION ALL
    SELECT run_id, image, kind, name, 'both' AS side, both_correct AS is_right
    FROM answers
),
images AS (
    SELECT run_id, kind, name, side, image, CAST(count(*) AS DOUBLE PRECISION) AS n, sum(CASE WHEN is_right THEN 1.0 ELSE 0.0 END) AS k
    FROM sides
    GROUP BY run_id, kind, name, side, image
),
counts AS (
    SELECT run_id, kind, name, side,
        CAST(count(*) AS DOUBLE PRECISION) AS n_images, sum(n) AS n, sum(k) AS k, sum(n * n) AS nn, sum(k * k) AS kk, sum(k * n) AS kn
    FROM images
    GROUP BY run_id, kind, name, side
),
effective AS (
    SELECT run_id, kind, name, side, n_images, n, k, k / n AS share,
        CASE
            WHEN n * n < 5 * nn THEN NULL
            WHEN k = 0 OR k = n THEN n_images
            ELSE n / greatest(1, n_images / (n_images - 1) * (kk - 2 * k / n * kn + k / n * (k / n) * nn) / (k * (n - k) / n))
        END AS m,
        CASE
            WHEN n * n >= 5 * nn
                THEN 1.959963984540054 + 2.372271230298562 / (n_images - 1) + 2.8224986157396112 / pow(n_images - 1, 2)
                    + 2.555849679507722 / pow(n_images - 1, 3) + 1.5895340533938225 / pow(n_images - 1, 4)
        END AS t
    FROM counts
)
SELECT
    run_id, kind, name, side, CAST(n AS BIGINT) AS n, CAST(n_images AS BIGINT) AS n_images, CAST(k AS BIGINT) AS k, share,
    CASE
        WHEN m IS NOT NULL
            THEN greatest(0, least(share, (share * m + t * t / 2 - t * sqrt(m * share * (1 - share) + t * t / 4)) / (m + t * t)))
    END AS low,
    CASE
        WHEN m IS NOT NULL
            THEN least(1, greatest(share, (share * m + t * t / 2 + t * sqrt(m * share * (1 - share) + t * t / 4)) / (m + t * t)))
    END AS high
FROM effective
