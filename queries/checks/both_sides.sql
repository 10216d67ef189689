-- question: Does every answered pair have both sides?
-- grain: one row per run and pair that breaks it
SELECT run_id, pair_id, count(*) AS sides
FROM predictions
GROUP BY run_id, pair_id
HAVING count(*) <> 2
