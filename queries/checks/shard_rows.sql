-- question: Does every shard have the rows it says, each in a place of its own?
-- grain: one row per shard that breaks it
-- param first_run text = null: only runs from this run_id on
-- param last_run text = null: only runs up to this run_id
SELECT shards.run_id, shards.shard, shards.n_pairs, coalesce(counted.places, 0) AS places
FROM shards
LEFT JOIN (
    SELECT run_id, shard, count(DISTINCT shard_row) AS places, count(*) AS answers
    FROM predictions
    WHERE ($first_run IS NULL OR run_id >= $first_run) AND ($last_run IS NULL OR run_id <= $last_run)
    GROUP BY run_id, shard
) AS counted
    ON shards.run_id = counted.run_id AND shards.shard = counted.shard
WHERE shards.kind = 'states'
    AND ($first_run IS NULL OR shards.run_id >= $first_run) AND ($last_run IS NULL OR shards.run_id <= $last_run)
    AND (coalesce(counted.places, 0) <> shards.n_pairs OR coalesce(counted.answers, 0) <> 2 * shards.n_pairs)
