-- question: Which pairs did one scale get right (both sides) and another wrong?
-- grain: one row per pair that changed
-- compared scales: from_scale to_scale
-- param family text: the family
-- param from_scale text: the scale to compare from
-- param to_scale text: the scale to compare with
-- param template text = null: only under this question template
SELECT
    before.dataset, before.template, before.axis, before.category, before.pair_id,
    before.orig_text AS orig_before, before.swap_text AS swap_before,
    later.orig_text AS orig_after, later.swap_text AS swap_after,
    later.both_correct AS gained, before.dataset_id
FROM pair_answers AS before
INNER JOIN pair_answers AS later
    ON before.family = later.family AND before.dataset_id = later.dataset_id
    AND before.template = later.template AND before.pair_id = later.pair_id
WHERE before.family = $family AND before.scale = $from_scale AND later.scale = $to_scale
    AND before.origin = 'row' AND before.both_correct <> later.both_correct
    AND ($template IS NULL OR before.template = $template)
ORDER BY before.template, before.axis, before.category, before.pair_id, before.run_id, later.run_id
