-- What did a run answer to each pair that it has both sides of? Controls are in every_pair_answer.
-- Grain: one row per run and pair.
CREATE VIEW pair_answers AS
SELECT
    run_id, family, scale, dataset, dataset_id, template, status, samples_seen,
    pair_id, origin, category, axis, perspective,
    orig_text, swap_text, orig_margin, swap_margin,
    orig_correct, swap_correct, both_correct, image
FROM every_pair_answer
WHERE control IS NULL
