-- question: Are the axis and the category of every pair among those of its dataset?
-- grain: one row per dataset, axis and category that are not
-- param dataset_id text = null: only pairs of this dataset
SELECT DISTINCT pairs.dataset_id, pairs.axis, pairs.category
FROM swap_pairs AS pairs
LEFT JOIN axes ON pairs.dataset_id = axes.dataset_id AND pairs.axis = axes.axis
WHERE ($dataset_id IS NULL OR pairs.dataset_id = $dataset_id)
    AND (axes.axis IS NULL OR pairs.category NOT IN (axes.canonical, axes.opposite))
ORDER BY pairs.dataset_id, pairs.axis, pairs.category
