-- question: What did a run answer to each question, and what do the two answer checkers make of it?
-- grain: one row per run, pair and side (orig, swap), in the benchmark's order
-- param run_id text: the run
SELECT
    predictions.pair_id, predictions.side, swap_pairs.category, swap_pairs.axis,
    CASE WHEN predictions.side = 'orig' THEN swap_pairs.orig_question ELSE swap_pairs.swap_question END AS question,
    CASE WHEN predictions.side = 'orig' THEN swap_pairs.orig_expected ELSE swap_pairs.swap_expected END AS expected,
    predictions.text, predictions.parsed, predictions.correct, predictions.checker, predictions.parsed_words,
    predictions.correct_words, predictions.margin, swap_pairs.origin, runs.run_id
FROM predictions
INNER JOIN runs ON predictions.run_id = runs.run_id
INNER JOIN swap_pairs
    ON runs.dataset_id = swap_pairs.dataset_id
    AND runs.template = swap_pairs.template
    AND predictions.pair_id = swap_pairs.pair_id
WHERE runs.run_id = $run_id
ORDER BY
    CASE WHEN swap_pairs.origin = 'row' THEN 0 ELSE 1 END, swap_pairs.position, predictions.pair_id, predictions.side
