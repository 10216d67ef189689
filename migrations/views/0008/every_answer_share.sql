-- How often is each side, and are both sides, of a group of pairs answered right, by a run that is a control or not?
-- Grain: one row per run, kind of group, group and side; a pair is in its axis, in 'overall', in its category and, if it is about distance,
-- in its perspective. n counts pairs, k those that are right. Bounds are Wilson's at 95 %, at the effective number of pairs m = n / deff, with
-- Student's t (Hill's series) for z. deff says how much the pairs of an image go together; where none or all are right, m is the number of images.
-- Bounds are NULL where few images hold most pairs: (sum n)^2 / sum n^2 < 5. The same as vlmprobe.analysis.inference.effective_wilson.
-- Counts of complete runs are kept, others are computed.
CREATE VIEW every_answer_share AS
WITH
counts AS (
    SELECT run_id, kind, name, side, CAST(n_images AS DOUBLE PRECISION) AS n_images, CAST(n AS DOUBLE PRECISION) AS n,
        CAST(k AS DOUBLE PRECISION) AS k, CAST(nn AS DOUBLE PRECISION) AS nn, CAST(kk AS DOUBLE PRECISION) AS kk, CAST(kn AS DOUBLE PRECISION) AS kn
    FROM (
        SELECT run_id,
            -- Written out: on Postgres a view keeps the collation of its columns, which is not that of the table.
            CASE kind WHEN 'axis' THEN 'axis' WHEN 'category' THEN 'category' ELSE 'perspective' END AS kind, name,
            CASE side WHEN 'orig' THEN 'orig' WHEN 'swap' THEN 'swap' ELSE 'both' END AS side,
            n_images, n, k, nn, kk, kn
        FROM kept_answer_counts
        UNION ALL
        SELECT run_id, kind, name, side, n_images, n, k, nn, kk, kn
        FROM every_computed_answer_count
        WHERE kept_run IS NULL
    ) AS counted
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
