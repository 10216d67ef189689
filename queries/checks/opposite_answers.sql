-- question: Does the swapped question of every pair expect the opposite of the original?
-- grain: one row per pair that breaks it
SELECT dataset_id, template, pair_id, orig_expected, swap_expected
FROM swap_pairs
WHERE orig_expected <> swap_opposite OR swap_expected <> orig_opposite OR orig_expected = swap_expected
