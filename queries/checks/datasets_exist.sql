-- question: Does every run, pair, quad, row problem and leak belong to a dataset that exists?
-- grain: one row per table and missing dataset
-- param dataset_id text = null: only this dataset
SELECT named.source, named.dataset_id
FROM (
    SELECT DISTINCT 'runs' AS source, dataset_id FROM runs
    UNION ALL SELECT DISTINCT 'swap_pairs', dataset_id FROM swap_pairs
    UNION ALL SELECT DISTINCT 'quads', dataset_id FROM quads
    UNION ALL SELECT DISTINCT 'row_problems', dataset_id FROM row_problems
    UNION ALL SELECT DISTINCT 'leaks', dataset_id FROM leaks
) AS named
WHERE ($dataset_id IS NULL OR named.dataset_id = $dataset_id)
    AND NOT EXISTS (SELECT 1 FROM datasets WHERE named.dataset_id = datasets.dataset_id)
