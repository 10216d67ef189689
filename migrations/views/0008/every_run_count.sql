-- How many pairs did a run answer, how many of its answers name neither option, and how many pairs failed and have no answer?
-- Grain: one row per run, a control or not; of an incomplete run, only once it has an answer or a failure.
CREATE VIEW every_run_count AS
SELECT run_id, n_pairs, n_answers, n_unnamed, n_failed
FROM kept_run_counts
UNION ALL
SELECT run_id, n_pairs, n_answers, n_unnamed, n_failed
FROM every_computed_run_count
WHERE kept_run IS NULL
