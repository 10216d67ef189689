-- What do a run's predictions say of each pair that it has both sides of? The table kept_pair_answers is made of this.
-- Grain: one row per run and pair. kept_run is NULL where nothing is kept of the run: a condition on it, or on run_id, is met before anything is
-- aggregated, since the rows are grouped by both.
CREATE VIEW every_computed_pair_answer AS
SELECT
    runs.run_id, kept_run_counts.run_id AS kept_run, predictions.pair_id,
    max(CASE WHEN predictions.side = 'orig' THEN predictions.text END) AS orig_text,
    max(CASE WHEN predictions.side = 'swap' THEN predictions.text END) AS swap_text,
    max(CASE WHEN predictions.side = 'orig' THEN predictions.margin END) AS orig_margin,
    max(CASE WHEN predictions.side = 'swap' THEN predictions.margin END) AS swap_margin,
    max(CASE WHEN predictions.side = 'orig' AND predictions.correct THEN 1 ELSE 0 END) = 1 AS orig_correct,
    max(CASE WHEN predictions.side = 'swap' AND predictions.correct THEN 1 ELSE 0 END) = 1 AS swap_correct
FROM runs
LEFT JOIN kept_run_counts ON runs.run_id = kept_run_counts.run_id
INNER JOIN predictions ON runs.run_id = predictions.run_id
GROUP BY runs.run_id, kept_run_counts.run_id, predictions.pair_id
-- There is no third side. Of an equality, Postgres would expect far fewer rows than there are.
HAVING count(*) > 1
