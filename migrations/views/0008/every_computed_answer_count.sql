-- How many pairs of a group does a run answer right, and how do they lie over images? The table kept_answer_counts is made of this.
-- Grain: one row per run, kind of group, group and side; a pair is in its axis, in 'overall', in its category and, if it is about distance,
-- in its perspective. Of the n pairs of each image k are right: the columns are the number of images, and the sums of n, k, n * n, k * k and
-- k * n over them. They are whole numbers, so that no order of adding changes them. kept_run is NULL where nothing is kept of the run.
CREATE VIEW every_computed_answer_count AS
WITH
cells AS (
    SELECT
        answers.run_id, answers.kept_run, swap_pairs.axis, swap_pairs.category,
        CASE WHEN swap_pairs.axis = 'distance' THEN swap_pairs.perspective END AS perspective,
        coalesce(nullif(swap_pairs.image_sha256, ''), answers.pair_id) AS image,
        CAST(count(*) AS INTEGER) AS n,
        CAST(sum(CASE WHEN answers.orig_correct THEN 1 ELSE 0 END) AS INTEGER) AS k_orig,
        CAST(sum(CASE WHEN answers.swap_correct THEN 1 ELSE 0 END) AS INTEGER) AS k_swap,
        CAST(sum(CASE WHEN answers.orig_correct AND answers.swap_correct THEN 1 ELSE 0 END) AS INTEGER) AS k_both
    FROM every_computed_pair_answer AS answers
    INNER JOIN runs ON answers.run_id = runs.run_id
    INNER JOIN datasets ON runs.dataset_id = datasets.dataset_id
    INNER JOIN swap_pairs
        ON runs.dataset_id = swap_pairs.dataset_id
        AND runs.template = swap_pairs.template
        AND answers.pair_id = swap_pairs.pair_id
    WHERE swap_pairs.origin = 'row'
    GROUP BY
        answers.run_id, answers.kept_run, swap_pairs.axis, swap_pairs.category,
        CASE WHEN swap_pairs.axis = 'distance' THEN swap_pairs.perspective END,
        coalesce(nullif(swap_pairs.image_sha256, ''), answers.pair_id)
),
named AS (
    SELECT
        run_id, kept_run, kind, image, n, k_orig, k_swap, k_both,
        CASE part WHEN 'axis' THEN axis WHEN 'category' THEN category WHEN 'perspective' THEN perspective ELSE part END AS name
    FROM cells
    CROSS JOIN (
        VALUES ('axis', 'axis'), ('axis', 'overall'), ('category', 'category'), ('perspective', 'perspective')
    ) AS parts(kind, part)
),
images AS (
    SELECT
        run_id, kept_run, kind, name, image, CAST(sum(n) AS BIGINT) AS n,
        CAST(sum(k_orig) AS BIGINT) AS k_orig, CAST(sum(k_swap) AS BIGINT) AS k_swap, CAST(sum(k_both) AS BIGINT) AS k_both
    FROM named
    WHERE name IS NOT NULL
    GROUP BY run_id, kept_run, kind, name, image
),
sums AS (
    SELECT
        run_id, kept_run, kind, name, count(*) AS n_images, sum(n) AS n, sum(n * n) AS nn,
        sum(k_orig) AS k_orig, sum(k_orig * k_orig) AS kk_orig, sum(k_orig * n) AS kn_orig,
        sum(k_swap) AS k_swap, sum(k_swap * k_swap) AS kk_swap, sum(k_swap * n) AS kn_swap,
        sum(k_both) AS k_both, sum(k_both * k_both) AS kk_both, sum(k_both * n) AS kn_both
    FROM images
    GROUP BY run_id, kept_run, kind, name
)
SELECT
    run_id, kept_run, kind, name, side, n_images, CAST(n AS BIGINT) AS n,
    CAST(CASE side WHEN 'orig' THEN k_orig WHEN 'swap' THEN k_swap ELSE k_both END AS BIGINT) AS k, CAST(nn AS BIGINT) AS nn,
    CAST(CASE side WHEN 'orig' THEN kk_orig WHEN 'swap' THEN kk_swap ELSE kk_both END AS BIGINT) AS kk,
    CAST(CASE side WHEN 'orig' THEN kn_orig WHEN 'swap' THEN kn_swap ELSE kn_both END AS BIGINT) AS kn
FROM sums
CROSS JOIN (VALUES ('orig'), ('swap'), ('both')) AS three(side)
