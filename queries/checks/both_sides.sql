-- question: Does every answered pair have both sides?
-- grain: one row per run and pair that breaks it
-- param first_run text = null: only runs from this run_id on
-- param last_run text = null: only runs up to this run_id
SELECT run_id, pair_id, count(*) AS sides
FROM predictions
WHERE ($first_run IS NULL OR run_id >= $first_run) AND ($last_run IS NULL OR run_id <= $last_run)
GROUP BY run_id, pair_id
HAVING count(*) <> 2
