-- What did a run, a control or not, answer to each pair that it has both sides of?
-- Grain: one row per run and pair. control and serves are NULL for a real run. Rows of complete runs are kept, others are computed.
CREATE VIEW every_pair_answer AS
WITH
sides AS (
    SELECT
        runs.run_id, runs.family, runs.scale, runs.dataset_id, runs.template, runs.status, runs.samples_seen, runs.control, runs.serves,
        kept.pair_id, kept.orig_text, kept.swap_text, kept.orig_margin, kept.swap_margin, kept.orig_correct, kept.swap_correct
    FROM runs
    INNER JOIN kept_pair_answers AS kept ON runs.run_id = kept.run_id
    UNION ALL
    SELECT
        runs.run_id, runs.family, runs.scale, runs.dataset_id, runs.template, runs.status, runs.samples_seen, runs.control, runs.serves,
        computed.pair_id, computed.orig_text, computed.swap_text, computed.orig_margin, computed.swap_margin,
        computed.orig_correct, computed.swap_correct
    FROM runs
    INNER JOIN every_computed_pair_answer AS computed ON runs.run_id = computed.run_id
    WHERE computed.kept_run IS NULL
)
SELECT
    sides.run_id, sides.family, sides.scale, datasets.name AS dataset, sides.dataset_id, sides.template, sides.status, sides.samples_seen,
    sides.pair_id, swap_pairs.origin, swap_pairs.category, swap_pairs.axis, swap_pairs.perspective,
    sides.orig_text, sides.swap_text, sides.orig_margin, sides.swap_margin,
    sides.orig_correct, sides.swap_correct, sides.orig_correct AND sides.swap_correct AS both_correct,
    coalesce(nullif(swap_pairs.image_sha256, ''), sides.pair_id) AS image,
    sides.control, sides.serves
FROM sides
INNER JOIN datasets ON sides.dataset_id = datasets.dataset_id
INNER JOIN swap_pairs
    ON sides.dataset_id = swap_pairs.dataset_id
    AND sides.template = swap_pairs.template
    AND sides.pair_id = swap_pairs.pair_id
