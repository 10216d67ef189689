-- question: What was asked about each pair of a run, and what did it answer?
-- grain: one row per pair that the run has answered, in the benchmark's order; those that only quads need come last
-- param run_id text: the run
-- param pair_id text = null: only this pair
SELECT
    swap_pairs.pair_id, swap_pairs.category, swap_pairs.axis, swap_pairs.subject, swap_pairs.reference,
    swap_pairs.orig_question, swap_pairs.orig_expected, orig.text AS orig_text, orig.correct AS orig_correct,
    orig.margin AS orig_margin,
    swap_pairs.swap_question, swap_pairs.swap_expected, swap.text AS swap_text, swap.correct AS swap_correct,
    swap.margin AS swap_margin,
    orig.correct AND swap.correct AS both_correct,
    swap_pairs.perspective, swap_pairs.origin, swap_pairs.question_id, swap_pairs.line, swap_pairs.image_sha256,
    runs.run_id
FROM runs
INNER JOIN swap_pairs ON runs.dataset_id = swap_pairs.dataset_id AND runs.template = swap_pairs.template
INNER JOIN predictions AS orig
    ON runs.run_id = orig.run_id AND swap_pairs.pair_id = orig.pair_id AND orig.side = 'orig'
INNER JOIN predictions AS swap
    ON runs.run_id = swap.run_id AND swap_pairs.pair_id = swap.pair_id AND swap.side = 'swap'
WHERE runs.run_id = $run_id AND ($pair_id IS NULL OR swap_pairs.pair_id = $pair_id)
ORDER BY CASE WHEN swap_pairs.origin = 'row' THEN 0 ELSE 1 END, swap_pairs.position, swap_pairs.pair_id
