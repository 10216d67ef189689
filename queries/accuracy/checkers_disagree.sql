-- question: On which answers do the two answer checkers disagree?
-- grain: one row per run, pair and side
-- param run_id text = null: only this run
SELECT
    runs.family, runs.scale, runs.template, predictions.pair_id, predictions.side, predictions.text,
    predictions.correct AS correct_published, predictions.correct_words, runs.run_id
FROM predictions
INNER JOIN runs ON predictions.run_id = runs.run_id
INNER JOIN swap_pairs
    ON runs.dataset_id = swap_pairs.dataset_id
    AND runs.template = swap_pairs.template
    AND predictions.pair_id = swap_pairs.pair_id
    AND swap_pairs.origin = 'row'
WHERE predictions.correct <> predictions.correct_words
    AND (($run_id IS NULL AND runs.control IS NULL) OR predictions.run_id = $run_id)
ORDER BY runs.family, runs.scale, runs.template, predictions.pair_id, predictions.side, runs.run_id
