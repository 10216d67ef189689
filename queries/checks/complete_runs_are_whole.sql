-- question: Has every complete run an answer or a recorded failure for every pair of its dataset?
-- grain: one row per run and pair that breaks it
-- param first_run text = null: only runs from this run_id on
-- param last_run text = null: only runs up to this run_id
SELECT runs.run_id, swap_pairs.pair_id
FROM runs
INNER JOIN swap_pairs ON runs.dataset_id = swap_pairs.dataset_id AND runs.template = swap_pairs.template
WHERE runs.status = 'complete' AND swap_pairs.origin = 'row' AND runs.provenance = 'extracted'
    AND ($first_run IS NULL OR runs.run_id >= $first_run) AND ($last_run IS NULL OR runs.run_id <= $last_run)
    AND NOT EXISTS (
        SELECT 1 FROM predictions
        WHERE runs.run_id = predictions.run_id AND swap_pairs.pair_id = predictions.pair_id
            AND ($first_run IS NULL OR predictions.run_id >= $first_run) AND ($last_run IS NULL OR predictions.run_id <= $last_run)
    )
    AND NOT EXISTS (
        SELECT 1 FROM failures WHERE runs.run_id = failures.run_id AND swap_pairs.pair_id = failures.pair_id
    )
