-- question: Does every row that names a run name one that exists?
-- grain: one row per table and missing run
SELECT named.source, named.run_id
FROM (
    SELECT DISTINCT 'predictions' AS source, run_id FROM predictions
    UNION ALL SELECT DISTINCT 'failures', run_id FROM failures
    UNION ALL SELECT DISTINCT 'shards', run_id FROM shards
    UNION ALL SELECT DISTINCT 'certificates', run_id FROM certificates
    UNION ALL SELECT DISTINCT 'run_parts', run_id FROM run_parts
    UNION ALL SELECT DISTINCT 'metrics', run_id FROM metrics
    UNION ALL SELECT DISTINCT 'results_json', run_id FROM results_json
    UNION ALL SELECT DISTINCT 'kept_pair_answers', run_id FROM kept_pair_answers
    UNION ALL SELECT DISTINCT 'kept_answer_counts', run_id FROM kept_answer_counts
    UNION ALL SELECT DISTINCT 'kept_run_counts', run_id FROM kept_run_counts
) AS named
WHERE NOT EXISTS (SELECT 1 FROM runs WHERE named.run_id = runs.run_id)
