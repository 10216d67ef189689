-- How many pairs did a run answer, how many of its answers name neither option, and how many pairs failed and have no answer?
-- The table kept_run_counts is made of this.
-- Grain: one row per run with an answer or a failure. kept_run is NULL where nothing is kept of the run.
CREATE VIEW every_computed_run_count AS
WITH
parts AS (
    SELECT
        runs.run_id, kept_run_counts.run_id AS kept_run,
        count(DISTINCT predictions.pair_id) AS n_pairs, count(*) AS n_answers,
        sum(CASE WHEN predictions.parsed IS NULL THEN 1 ELSE 0 END) AS n_unnamed, 0 AS n_failed
    FROM runs
    LEFT JOIN kept_run_counts ON runs.run_id = kept_run_counts.run_id
    INNER JOIN predictions ON runs.run_id = predictions.run_id
    GROUP BY runs.run_id, kept_run_counts.run_id
    UNION ALL
    SELECT
        runs.run_id, kept_run_counts.run_id AS kept_run,
        0 AS n_pairs, 0 AS n_answers, 0 AS n_unnamed, count(DISTINCT failures.pair_id) AS n_failed
    FROM runs
    LEFT JOIN kept_run_counts ON runs.run_id = kept_run_counts.run_id
    INNER JOIN failures ON runs.run_id = failures.run_id
    LEFT JOIN predictions ON failures.run_id = predictions.run_id AND failures.pair_id = predictions.pair_id
    WHERE predictions.run_id IS NULL
    GROUP BY runs.run_id, kept_run_counts.run_id
)
SELECT
    run_id, kept_run, CAST(sum(n_pairs) AS BIGINT) AS n_pairs, CAST(sum(n_answers) AS BIGINT) AS n_answers,
    CAST(sum(n_unnamed) AS BIGINT) AS n_unnamed, CAST(sum(n_failed) AS BIGINT) AS n_failed
FROM parts
GROUP BY run_id, kept_run
