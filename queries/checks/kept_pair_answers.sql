-- question: Are the kept answers to pairs those that the predictions say?
-- grain: one row per run and pair of which they are not
-- param first_run text = null: only runs from this run_id on
-- param last_run text = null: only runs up to this run_id
SELECT coalesce(kept.run_id, computed.run_id) AS run_id, coalesce(kept.pair_id, computed.pair_id) AS pair_id
FROM (
    SELECT run_id, pair_id, orig_text, swap_text, orig_margin, swap_margin, orig_correct, swap_correct
    FROM kept_pair_answers
    WHERE ($first_run IS NULL OR run_id >= $first_run) AND ($last_run IS NULL OR run_id <= $last_run)
) AS kept
FULL JOIN (
    SELECT run_id, pair_id, orig_text, swap_text, orig_margin, swap_margin, orig_correct, swap_correct
    FROM every_computed_pair_answer
    WHERE kept_run IS NOT NULL
        AND ($first_run IS NULL OR run_id >= $first_run) AND ($last_run IS NULL OR run_id <= $last_run)
) AS computed
    ON kept.run_id = computed.run_id AND kept.pair_id = computed.pair_id
WHERE kept.run_id IS NULL OR computed.run_id IS NULL
    OR kept.orig_text IS DISTINCT FROM computed.orig_text
    OR kept.swap_text IS DISTINCT FROM computed.swap_text
    OR kept.orig_margin IS DISTINCT FROM computed.orig_margin
    OR kept.swap_margin IS DISTINCT FROM computed.swap_margin
    OR kept.orig_correct IS DISTINCT FROM computed.orig_correct
    OR kept.swap_correct IS DISTINCT FROM computed.swap_correct
