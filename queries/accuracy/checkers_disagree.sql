-- question: On which answers do the two answer checkers disagree?
-- grain: one row per run, pair and side
-- param run_id text = null: only this run
SELECT
    runs.family, runs.scale, predictions.pair_id, predictions.side, predictions.text,
    predictions.correct AS correct_published, predictions.correct_words, runs.run_id
FROM predictions
INNER JOIN runs ON predictions.run_id = runs.run_id
WHERE predictions.correct <> predictions.correct_words
    AND ($run_id IS NULL OR predictions.run_id = $run_id)
ORDER BY runs.family, runs.scale, predictions.pair_id, predictions.side
