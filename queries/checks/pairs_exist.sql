-- question: Is every answer about a pair of the run's dataset?
-- grain: one row per answer that breaks it
-- param first_run text = null: only runs from this run_id on
-- param last_run text = null: only runs up to this run_id
SELECT predictions.run_id, predictions.pair_id, predictions.side
FROM predictions
INNER JOIN runs ON predictions.run_id = runs.run_id
WHERE ($first_run IS NULL OR predictions.run_id >= $first_run) AND ($last_run IS NULL OR predictions.run_id <= $last_run)
    AND NOT EXISTS (
        SELECT 1 FROM swap_pairs
        WHERE runs.dataset_id = swap_pairs.dataset_id
            AND runs.template = swap_pairs.template
            AND predictions.pair_id = swap_pairs.pair_id
    )
