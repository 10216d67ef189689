"""Each correction of the statistics and each control, taken out by one edit, and the tests that must notice."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BREAKS", "Break"]

_ANALYSIS = "vlmprobe/analysis"
#: The test that the paired jackknife t replaces. The sum of both checkpoints' axes is held fixed.
_EXCHANGE = """
_PLAIN, _DIFFERENCES, _READ = read_geometry, geometry_differences, {}


def read_geometry(states, layout, axes):
    found = _PLAIN(states, layout, axes)
    _READ[id(found)] = found, states, layout
    return found


def geometry_differences(before, after, counts):
    (_, first, layout), (_, later, _) = _READ[id(before)], _READ[id(after)]
    units = [each / np.linalg.norm(each, axis=1)[:, None] for each in (one[1] - one[0] for one in (first, later))]
    signs, rows = np.random.default_rng(0).choice([-1.0, 1.0], (399, len(units[0]))), []
    for row in _DIFFERENCES(before, after, counts):
        if row.target in before.coherence:
            place = list(before.coherence).index(row.target)
            ends = [layout.groups == 2 * place + end for end in (0, 1)]
            weights = sum(sign * end / max(1, end.sum()) for sign, end in zip((1, -1), ends))
            both = weights @ (units[0] + units[1])
            along = weights * ((units[1] - units[0]) @ both)
            exceeded = np.abs(signs @ along) >= abs(along.sum())
            row = replace(row, p_value=float((1 + exceeded.sum()) / 400))
        rows.append(row)
    return rows


"""


@dataclass(frozen=True)
class Break:
    """One edit of the source."""

    what: str
    """What is left once the correction is out."""
    file: str
    text: str
    """In the file exactly once."""
    instead: str
    tests: str
    """Files or folders of tests, of which one at least must fail."""


BREAKS = (
    Break(
        "S1: the products of plug-in means",
        f"{_ANALYSIS}/geometry/products.py",
        "values=_ratio(numerator, pairs.different),",
        "values=_ratio(totals, pairs.every),",
        "tests/analysis/geometry",
    ),
    Break(
        "S1: products of vectors of one image",
        f"{_ANALYSIS}/geometry/products.py",
        "numerator = totals - shared.sum(axis=0)",
        "numerator = totals - 0 * shared.sum(axis=0)",
        "tests/analysis/geometry",
    ),
    Break(
        "S1: an angle of axes that are not resolved",
        f"{_ANALYSIS}/geometry/estimates.py",
        "        reason = NOT_RESOLVED\n",
        '        reason = ""\n',
        "tests/analysis/geometry tests/analysis/test_axis_metrics.py",
    ),
    Break(
        "S1: the order effect in the axis",
        f"{_ANALYSIS}/geometry/estimates.py",
        "return Effect((2 * axis, 2 * axis + 1), (0.5, -0.5))",
        "return Effect((2 * axis, 2 * axis + 1), (0.7, -0.3))",
        "tests/analysis/geometry tests/analysis/test_axis_metrics.py",
    ),
    Break(
        "S1: an interval where a leave-one-out is undefined",
        f"{_ANALYSIS}/inference/jackknife.py",
        "if not np.isfinite(self.scale.of(np.append(plain, self.value))).all():",
        "if False:",
        "tests/analysis/inference tests/analysis/geometry",
    ),
    Break(
        "S2: labels dealt out afresh, as signs are flipped",
        f"{_ANALYSIS}/inference/permutation.py",
        "drawn[:, pairs[:, 0]] = keys <= largest",
        "drawn[:, pairs[:, 0]] = keys < 2**63",
        "tests/analysis/inference/test_permutation.py",
    ),
    Break(
        "S2: labels exchanged among pairs, whatever their image",
        f"{_ANALYSIS}/inference/permutation.py",
        "_exchangeable(image_of, hash_order(pair_keys), strata)",
        "_exchangeable(np.arange(n), hash_order(pair_keys), strata)",
        "tests/analysis/inference/test_permutation.py",
    ),
    Break(
        "S2: the pairs of an image in the order of the file",
        f"{_ANALYSIS}/inference/permutation.py",
        "_exchangeable(image_of, hash_order(pair_keys), strata)",
        "_exchangeable(image_of, np.arange(n), strata)",
        "tests/analysis/inference/test_permutation.py",
    ),
    Break(
        "S2: labels exchanged across strata",
        f"{_ANALYSIS}/inference/permutation.py",
        "_exchangeable(image_of, hash_order(pair_keys), strata)",
        "_exchangeable(image_of, hash_order(pair_keys), None)",
        "tests/analysis/inference/test_permutation.py",
    ),
    Break(
        "S2: the smallest p-value over layers as it is",
        f"{_ANALYSIS}/inference/layers.py",
        "return (adjusted(int(ranks[shown, 0].min()))",
        "return (int(ranks[shown, 0].min()) / n_values",
        "tests/analysis/inference tests/analysis/test_axis_significance.py",
    ),
    Break(
        "S2: an axis whose raw |alpha|^2 is not resolved",
        f"{_ANALYSIS}/inference/layers.py",
        "allowed = np.ones(n_layers, dtype=bool) if eligible is None else np.asarray(eligible, dtype=bool)",
        "allowed = np.ones(n_layers, dtype=bool)",
        "tests/analysis/inference tests/analysis/test_axis_significance.py",
    ),
    Break(
        "S2: as few draws as there are at first",
        f"{_ANALYSIS}/inference/layers.py",
        "p_value = self._refined(",
        "p_value = p_value or self._refined(",
        "tests/analysis/inference tests/analysis/test_axis_significance.py",
    ),
    Break(
        "S2: draws of the wild test that are too narrow",
        f"{_ANALYSIS}/inference/wild.py",
        "sums = 2.0 * (plus.astype(np.float32) @ single.T) - totals",
        "sums = plus.astype(np.float32) @ single.T - totals / 2",
        "tests/analysis/inference tests/analysis/test_alignment.py tests/analysis/test_entanglement.py",
    ),
    Break(
        "S3: Wilson's interval at the number of pairs",
        f"{_ANALYSIS}/inference/proportions.py",
        "effective = n / max(1.0, clustered / variance)",
        "effective = n",
        "tests/analysis/inference/test_proportions.py",
    ),
    Break(
        "S3: an interval where one image holds most pairs",
        f"{_ANALYSIS}/inference/proportions.py",
        "MIN_EQUIVALENT_IMAGES = 5",
        "MIN_EQUIVALENT_IMAGES = 0",
        "tests/analysis/inference/test_proportions.py",
    ),
    Break(
        "S4: the peak read on the half that chose it",
        f"{_ANALYSIS}/geometry/halves.py",
        "read = readings[0][places[1]], readings[1][places[0]]",
        "read = readings[0][places[0]], readings[1][places[1]]",
        "tests/analysis/geometry/test_halves.py",
    ),
    Break(
        "S4: a direction fitted on the half that it tells",
        f"{_ANALYSIS}/geometry/halves.py",
        "fitted, read = second_half != half, second_half == half",
        "fitted, read = second_half == half, second_half == half",
        "tests/analysis/geometry/test_halves.py tests/analysis/test_fitted_directions.py",
    ),
    Break(
        "S4: the interval of the best layer as if it had been the only one",
        f"{_ANALYSIS}/geometry/peak.py",
        "factor = float(np.quantile(largest, 2 * LEVEL - 1)) * upper_quantile(top.n_images - 1) / _Z",
        "factor = upper_quantile(top.n_images - 1)",
        "tests/analysis/geometry tests/analysis/test_layer_reading.py",
    ),
    Break(
        "S4: a layer recommended without an axis",
        f"{_ANALYSIS}/recommendation.py",
        "if p_value is not None and p_value <= _LEVEL)",
        "if p_value is not None)",
        "tests/analysis/test_recommendation.py",
    ),
    Break(
        "S5: images left out of one checkpoint only",
        f"{_ANALYSIS}/inference/jackknife.py",
        "leave_outs=np.asarray(sum(factor * each.leave_outs for factor, each in pairs), dtype=np.float64),",
        "leave_outs=np.asarray(pairs[0][0] * pairs[0][1].leave_outs, dtype=np.float64),",
        "tests/analysis/inference tests/analysis/test_comparison.py",
    ),
    Break(
        "S5: two checkpoints exchanged within images, in place of the paired jackknife t",
        f"{_ANALYSIS}/comparison.py",
        "def axis_cosines(",
        f"{_EXCHANGE}def axis_cosines(",
        "tests/statistics/test_comparisons.py",
    ),
    Break(
        "S5: no exact test where each image has one pair",
        f"{_ANALYSIS}/inference/proportions.py",
        "    if sizes.max() == 1:\n",
        "    if sizes.max() == 0:\n",
        "tests/analysis/inference/test_proportions.py tests/analysis/test_comparison.py",
    ),
    Break(
        "S5: the sign of a cosine that is not resolved, taken as known",
        f"{_ANALYSIS}/inference/sizes.py",
        "*((sign, -sign) if undecided else (sign,) for",
        "*((sign,) for",
        "tests/analysis/inference/test_sizes.py",
    ),
    Break(
        "S5: p-values without Holm's rule",
        f"{_ANALYSIS}/inference/families.py",
        "largest = max(largest, (len(tested) - rank) * p_value)",
        "largest = max(largest, p_value)",
        "tests/analysis/inference tests/analysis/test_comparison.py",
    ),
    Break(
        "S7: halves of different sizes compared by plug-ins",
        f"{_ANALYSIS}/perspective_axes.py",
        "found = [corrected_cosine(products, other, effect) for other in others]",
        "plain = replace(products, values=products.plug_in, known={})\n"
        "            found = [corrected_cosine(plain, other, effect) for other in others]",
        "tests/analysis/test_perspective_axes.py",
    ),
    Break(
        "S9: a normal interval over few trainings",
        f"{_ANALYSIS}/trainings.py",
        "half = upper_quantile(n - 1) * se",
        "half = 1.96 * se",
        "tests/analysis/test_trainings.py",
    ),
    Break(
        "S9: the spread of images for that of trainings",
        f"{_ANALYSIS}/trainings.py",
        "se = sd / sqrt(n)",
        "se = (se_images or sd) / sqrt(n)",
        "tests/analysis/test_trainings.py",
    ),
    Break(
        "S12: one of the two one-sided tests",
        f"{_ANALYSIS}/inference/equivalence.py",
        "    p_equivalent = max(\n",
        "    p_equivalent = min(\n",
        "tests/analysis/inference/test_equivalence.py",
    ),
    Break(
        "S12: a published value without its own error",
        "vlmprobe/workflows/reproduce.py",
        "sqrt(se_ours**2 + se_theirs**2)",
        "se_ours",
        "tests/workflows/test_reproduce.py tests/analysis/inference/test_equivalence.py",
    ),
    Break(
        "S12: not different, called equivalent",
        f"{_ANALYSIS}/inference/equivalence.py",
        "else NOT_DECIDED",
        "else EQUIVALENT",
        "tests/analysis/inference/test_equivalence.py",
    ),
    Break(
        "S6: the raw template in place of the space half",
        f"{_ANALYSIS}/controls/deltas.py",
        "return np.asarray(np.add(self.first, self.opposite, dtype=np.float64) / 2)",
        "return np.asarray(self.first, dtype=np.float64)",
        "tests/analysis/controls/test_answers.py tests/analysis/controls/test_verdict.py",
    ),
    Break(
        "S6: a share of an axis that is not resolved",
        f"{_ANALYSIS}/controls/shares.py",
        "reason = NOT_RESOLVED",
        'reason = ""',
        "tests/analysis/controls tests/workflows/test_robustness.py",
    ),
    Break(
        "S6: blind runs that see the picture",
        "vlmprobe/extraction/control.py",
        'return Images.new("RGB", self._dataset.image(pair).size, MID_GREY)',
        "return self._dataset.image(pair)",
        "tests/workflows/test_controls.py",
    ),
    Break(
        "S6: a readout in layers that do not speak the unembedding's language",
        f"{_ANALYSIS}/controls/readout.py",
        "if 3 * (layer + 1) <= 2 * n_layers:",
        "if False:",
        "tests/analysis/controls/test_readout.py",
    ),
    Break(
        "S8: one spread for all dimensions",
        f"{_ANALYSIS}/controls/inner_products.py",
        "spread = np.std(np.asarray(states, dtype=np.float64), axis=0)",
        "spread = np.full(np.shape(states)[1], np.std(np.asarray(states, dtype=np.float64)))",
        "tests/analysis/controls/test_inner_products.py",
    ),
    Break(
        "S10: partitions that do not hold objects apart",
        f"{_ANALYSIS}/controls/probe.py",
        "yield inside[ends].all(axis=0), ~inside[ends].any(axis=0)",
        "yield (half := rng.permutation(len(ends[0])) < len(ends[0]) // 2), ~half",
        "tests/analysis/controls/test_probe.py",
    ),
    Break(
        "S10: a pair that is told by its own image",
        f"{_ANALYSIS}/controls/transfer.py",
        "others, n_others = told.vectors @ sums.sum(axis=0).T - own, counts.sum(axis=0) - counts[of_told]",
        "others, n_others = told.vectors @ sums.sum(axis=0).T, counts.sum(axis=0) - 0 * counts[of_told]",
        "tests/analysis/controls/test_transfer.py",
    ),
    Break(
        "verdict: vectors of a control that are not subtracted",
        f"{_ANALYSIS}/controls/verdict.py",
        "np.subtract(evidence.real, each, dtype=np.float64)",
        "np.asarray(evidence.real, dtype=np.float64)",
        "tests/analysis/controls/test_verdict.py",
    ),
    Break(
        "verdict: what lies along the word's axis, left in",
        f"{_ANALYSIS}/controls/verdict.py",
        "return without_axis(half.space - less, half.word, self.canonical)",
        "return half.space - less",
        "tests/analysis/controls/test_verdict.py",
    ),
    Break(
        "verdict: Null 1 left in",
        f"{_ANALYSIS}/controls/verdict.py",
        "left = evidence.without_word(evidence.scene, less=evidence.null_1.space)",
        "left = evidence.without_word(evidence.scene)",
        "tests/analysis/controls/test_verdict.py",
    ),
    Break(
        "verdict: any cosine above 0",
        f"{_ANALYSIS}/controls/verdict.py",
        "SAME_AXIS = 0.2",
        "SAME_AXIS = 0.0",
        "tests/analysis/controls/test_verdict.py",
    ),
    Break(
        "verdict: an axis that the run's own does not hold",
        f"{_ANALYSIS}/controls/verdict.py",
        "product = inner_product(along, axis_effect(0), axis_effect(1))",
        "product = inner_product(both, axis_effect(0), axis_effect(1))",
        "tests/analysis/controls/test_verdict.py",
    ),
    Break(
        "verdict: the scene's delta with the swapped question's sign lost",
        "vlmprobe/study/evidence.py",
        "(change[:, 0] - change[:, 1]) * np.float32(0.5)",
        "(change[:, 0] + change[:, 1]) * np.float32(0.5)",
        "tests/workflows/test_verdict.py",
    ),
    Break(
        "scene: products of pairs that share an object",
        f"{_ANALYSIS}/controls/disjoint.py",
        "self._shares |= one[:, None] == other",
        "self._shares |= False",
        "tests/analysis/controls/test_disjoint.py",
    ),
    Break(
        "scene: the jackknife over images for pairs that share objects",
        f"{_ANALYSIS}/controls/disjoint.py",
        "for each in (self._shares, self._same_image))",
        "for each in (self._same_image, self._same_image))",
        "tests/analysis/controls/test_disjoint.py",
    ),
    Break(
        "scene: what the second template leaves of the word",
        f"{_ANALYSIS}/controls/scene_word.py",
        "return self._evidence.without_word(self._scene, less=others)",
        "return self._scene.space - others",
        "tests/analysis/controls/test_scene_word.py",
    ),
    Break(
        "scene: an axis of noise taken for the word's",
        f"{_ANALYSIS}/controls/scene_word.py",
        "self.word_out = word.estimate().is_resolved",
        "self.word_out = word.value == word.value",
        "tests/analysis/controls/test_scene_word.py",
    ),
    Break(
        "scene: Null 1 left in over layers",
        f"{_ANALYSIS}/controls/scene_word.py",
        "less = _coherence(half.less(null_1.space), layout).estimate()",
        "less = _coherence(half.less(), layout).estimate()",
        "tests/analysis/controls/test_scene_word.py",
    ),
    Break(
        "Null 2: the pair's own category in place of the other question's",
        "vlmprobe/study/scene_layers.py",
        "value = null_2(evidence.null_1, axis.own, evidence.images)",
        "value = null_2(evidence.null_1, list(evidence.canonical), evidence.images)",
        "tests/workflows/test_scene_layers.py",
    ),
    Break(
        "Null 2: relations that the exchange turns",
        "vlmprobe/study/pictured.py",
        "return None if one is None or one != other else one.is_canonical",
        "return None if one is None else one.is_canonical",
        "tests/workflows/test_scene_layers.py",
    ),
    Break(
        "Null 3: the run's own scene in place of that of random weights",
        f"{_ANALYSIS}/controls/scene_word.py",
        "half = _SceneHalf(evidence, evidence.null_3, layout)",
        "half = _SceneHalf(evidence, evidence.scene, layout)",
        "tests/analysis/controls/test_scene_word.py",
    ),
    Break(
        "Null 3: another control's runs in place of random weights",
        "vlmprobe/study/evidence.py",
        "return _of_all_four(controls, RANDOM_WEIGHTS, sources.answers, sources.exchanged)",
        "return _of_all_four(controls, OTHER_AXIS, sources.answers, sources.exchanged)",
        "tests/workflows/test_scene_layers.py",
    ),
)
