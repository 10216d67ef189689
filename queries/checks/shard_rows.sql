-- question: Does every shard have the rows it says, each in a place of its own?
-- grain: one row per shard that breaks it
-- param first_run text = null: only runs from this run_id on
-- param last_run text = null: only runs up to this run_id
SELECT shards.run_id, shards.shard, shards.n_pairs, count(DISTINCT predictions.shard_row) AS places
FROM shards
LEFT JOIN predictions
    ON shards.run_id = predictions.run_id AND shards.shard = predictions.shard
    AND ($first_run IS NULL OR predictions.run_id >= $first_run) AND ($last_run IS NULL OR predictions.run_id <= $last_run)
WHERE shards.kind = 'states' AND ($first_run IS NULL OR shards.run_id >= $first_run) AND ($last_run IS NULL OR shards.run_id <= $last_run)
GROUP BY shards.run_id, shards.shard, shards.n_pairs
HAVING count(DISTINCT predictions.shard_row) <> shards.n_pairs OR count(predictions.pair_id) <> 2 * shards.n_pairs
