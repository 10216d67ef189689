-- question: Of the same pairs, how many did one run get right (both sides) that the other got wrong?
-- grain: one row per axis
-- compared: from_run to_run
-- param from_run text: the run to compare from (its run_id)
-- param to_run text: the run to compare with (its run_id)
SELECT
    later.axis, count(*) AS n,
    sum(CAST(later.both_correct AND NOT before.both_correct AS INTEGER)) AS gained,
    sum(CAST(before.both_correct AND NOT later.both_correct AS INTEGER)) AS lost
FROM pair_answers AS before
INNER JOIN pair_answers AS later ON before.dataset_id = later.dataset_id AND before.pair_id = later.pair_id
LEFT JOIN run_axes ON later.run_id = run_axes.run_id AND later.axis = run_axes.axis
WHERE before.run_id = $from_run AND later.run_id = $to_run AND later.origin = 'row'
GROUP BY later.axis, run_axes.position
ORDER BY run_axes.position
