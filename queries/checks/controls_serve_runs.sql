-- question: Does every control serve a real run on the same dataset, under the same template?
-- grain: one row per control that does not
-- param first_run text = null: only runs from this run_id on
-- param last_run text = null: only runs up to this run_id
SELECT controls.run_id, controls.control, controls.serves
FROM runs AS controls
LEFT JOIN runs AS served
    ON controls.serves = served.run_id
    AND controls.dataset_id = served.dataset_id
    AND controls.template = served.template
    AND served.control IS NULL
WHERE controls.control IS NOT NULL AND served.run_id IS NULL
    AND ($first_run IS NULL OR controls.run_id >= $first_run) AND ($last_run IS NULL OR controls.run_id <= $last_run)
