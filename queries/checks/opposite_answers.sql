-- question: Does the swapped question of every pair expect the opposite of the original?
-- grain: one row per pair that breaks it
-- param dataset_id text = null: only pairs of this dataset
SELECT dataset_id, template, pair_id, orig_expected, swap_expected
FROM swap_pairs
WHERE ($dataset_id IS NULL OR dataset_id = $dataset_id)
    AND (orig_expected <> swap_opposite OR swap_expected <> orig_opposite OR orig_expected = swap_expected)
