-- question: Is every extracted answer in a shard that exists?
-- grain: one row per answer that breaks it
-- param first_run text = null: only runs from this run_id on
-- param last_run text = null: only runs up to this run_id
SELECT predictions.run_id, predictions.pair_id, predictions.side, predictions.shard
FROM predictions
INNER JOIN runs ON predictions.run_id = runs.run_id AND runs.provenance = 'extracted'
WHERE ($first_run IS NULL OR predictions.run_id >= $first_run) AND ($last_run IS NULL OR predictions.run_id <= $last_run)
    AND NOT EXISTS (
        SELECT 1 FROM shards WHERE predictions.run_id = shards.run_id AND predictions.shard = shards.shard
    )
