-- question: Has every complete run, and no other, kept counts, and are they those of its answers and failures?
-- grain: one row per run that breaks it
-- param first_run text = null: only runs from this run_id on
-- param last_run text = null: only runs up to this run_id
SELECT runs.run_id, runs.status, kept.n_pairs, kept.n_answers, kept.n_unnamed, kept.n_failed
FROM runs
LEFT JOIN kept_run_counts AS kept ON runs.run_id = kept.run_id
LEFT JOIN (
    SELECT run_id, n_pairs, n_answers, n_unnamed, n_failed
    FROM every_computed_run_count
    WHERE ($first_run IS NULL OR run_id >= $first_run) AND ($last_run IS NULL OR run_id <= $last_run)
) AS computed
    ON runs.run_id = computed.run_id
WHERE ($first_run IS NULL OR runs.run_id >= $first_run) AND ($last_run IS NULL OR runs.run_id <= $last_run)
    AND (
        (runs.status = 'complete' AND kept.run_id IS NULL) OR (runs.status <> 'complete' AND kept.run_id IS NOT NULL)
        OR (
            kept.run_id IS NOT NULL
            AND (
                kept.n_pairs <> coalesce(computed.n_pairs, 0) OR kept.n_answers <> coalesce(computed.n_answers, 0)
                OR kept.n_unnamed <> coalesce(computed.n_unnamed, 0) OR kept.n_failed <> coalesce(computed.n_failed, 0)
            )
        )
    )
