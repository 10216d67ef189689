-- question: Are the axis and the category of every pair among those of its dataset?
-- grain: one row per dataset, axis and category that are not
SELECT DISTINCT pairs.dataset_id, pairs.axis, pairs.category
FROM swap_pairs AS pairs
LEFT JOIN axes ON pairs.dataset_id = axes.dataset_id AND pairs.axis = axes.axis
WHERE axes.axis IS NULL OR pairs.category NOT IN (axes.canonical, axes.opposite)
ORDER BY pairs.dataset_id, pairs.axis, pairs.category
