-- How often is each side, and are both sides, of a group of pairs answered right? Controls are in every_answer_share, which says how.
-- Grain: one row per run, kind of group, group and side.
CREATE VIEW answer_shares AS
SELECT
    every_answer_share.run_id, kind, name, side, n, n_images, k, share, low, high
FROM every_answer_share
INNER JOIN runs ON every_answer_share.run_id = runs.run_id
WHERE runs.control IS NULL
