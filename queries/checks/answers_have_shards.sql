-- question: Is every extracted answer in a shard that exists?
-- grain: one row per answer that breaks it
SELECT predictions.run_id, predictions.pair_id, predictions.side, predictions.shard
FROM predictions
INNER JOIN runs ON predictions.run_id = runs.run_id AND runs.provenance = 'extracted'
WHERE NOT EXISTS (
    SELECT 1 FROM shards WHERE predictions.run_id = shards.run_id AND predictions.shard = shards.shard
)
