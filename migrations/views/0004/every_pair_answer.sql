-- What did a run, a control or not, answer to each pair that it has both sides of?
-- Grain: one row per run and pair. control and serves are NULL for a real run.
CREATE VIEW every_pair_answer AS
WITH
sides AS (
    SELECT
        run_id, pair_id,
        max(CASE WHEN side = 'orig' THEN text END) AS orig_text,
        max(CASE WHEN side = 'swap' THEN text END) AS swap_text,
        max(CASE WHEN side = 'orig' THEN margin END) AS orig_margin,
        max(CASE WHEN side = 'swap' THEN margin END) AS swap_margin,
        max(CASE WHEN side = 'orig' AND correct THEN 1 ELSE 0 END) = 1 AS orig_correct,
        max(CASE WHEN side = 'swap' AND correct THEN 1 ELSE 0 END) = 1 AS swap_correct
    FROM predictions
    GROUP BY run_id, pair_id
    HAVING count(*) = 2
)
SELECT
    runs.run_id, runs.family, runs.scale, datasets.name AS dataset, runs.dataset_id, runs.template, runs.status, runs.samples_seen,
    sides.pair_id, swap_pairs.origin, swap_pairs.category, swap_pairs.axis, swap_pairs.perspective,
    sides.orig_text, sides.swap_text, sides.orig_margin, sides.swap_margin,
    sides.orig_correct, sides.swap_correct, sides.orig_correct AND sides.swap_correct AS both_correct,
    coalesce(nullif(swap_pairs.image_sha256, ''), sides.pair_id) AS image,
    runs.control, runs.serves
FROM sides
INNER JOIN runs ON sides.run_id = runs.run_id
INNER JOIN datasets ON runs.dataset_id = datasets.dataset_id
INNER JOIN swap_pairs
    ON runs.dataset_id = swap_pairs.dataset_id
    AND runs.template = swap_pairs.template
    AND sides.pair_id = swap_pairs.pair_id
