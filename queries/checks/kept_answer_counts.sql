-- question: Are the kept counts of right answers those that the predictions say?
-- grain: one row per run, group and side of which they are not
-- param first_run text = null: only runs from this run_id on
-- param last_run text = null: only runs up to this run_id
SELECT coalesce(kept.run_id, computed.run_id) AS run_id, coalesce(kept.kind, computed.kind) AS kind, coalesce(kept.name, computed.name) AS name, coalesce(kept.side, computed.side) AS side
FROM (
    SELECT run_id, kind, name, side, n_images, n, k, nn, kk, kn
    FROM kept_answer_counts
    WHERE ($first_run IS NULL OR run_id >= $first_run) AND ($last_run IS NULL OR run_id <= $last_run)
) AS kept
FULL JOIN (
    SELECT run_id, kind, name, side, n_images, n, k, nn, kk, kn
    FROM every_computed_answer_count
    WHERE kept_run IS NOT NULL
        AND ($first_run IS NULL OR run_id >= $first_run) AND ($last_run IS NULL OR run_id <= $last_run)
) AS computed
    ON kept.run_id = computed.run_id AND kept.kind = computed.kind AND kept.name = computed.name AND kept.side = computed.side
WHERE kept.run_id IS NULL OR computed.run_id IS NULL
    OR kept.n_images IS DISTINCT FROM computed.n_images
    OR kept.n IS DISTINCT FROM computed.n
    OR kept.k IS DISTINCT FROM computed.k
    OR kept.nn IS DISTINCT FROM computed.nn
    OR kept.kk IS DISTINCT FROM computed.kk
    OR kept.kn IS DISTINCT FROM computed.kn
