-- question: Does every shard have the rows it says, each in a place of its own?
-- grain: one row per shard that breaks it
SELECT shards.run_id, shards.shard, shards.n_pairs, count(DISTINCT predictions.shard_row) AS places
FROM shards
LEFT JOIN predictions ON shards.run_id = predictions.run_id AND shards.shard = predictions.shard
WHERE shards.kind = 'states'
GROUP BY shards.run_id, shards.shard, shards.n_pairs
HAVING count(DISTINCT predictions.shard_row) <> shards.n_pairs OR count(predictions.pair_id) <> 2 * shards.n_pairs
