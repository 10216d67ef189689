-- question: How well did the fast path agree with plain forwards, and was anything redone?
-- grain: one row per run
-- param run_id text = null: only this run
SELECT
    runs.family, runs.scale, runs.template, certificates.dtype, count(*) AS batches, sum(n_questions) AS questions,
    max(max_rel_dh) AS max_rel_dh, min(median_delta_cosine) AS worst_delta_cosine,
    max(delta_error) AS delta_error, max(plain_delta_error) AS plain_delta_error,
    sum(answers_equal) AS answers_equal, sum(answers_compared) AS answers_compared,
    bool_and(passed) AS passed, runs.run_id
FROM certificates
INNER JOIN runs ON certificates.run_id = runs.run_id
WHERE (($run_id IS NULL AND runs.control IS NULL) OR runs.run_id = $run_id)
GROUP BY runs.family, runs.scale, runs.template, certificates.dtype, runs.run_id
ORDER BY runs.family, runs.scale, runs.template, runs.run_id
