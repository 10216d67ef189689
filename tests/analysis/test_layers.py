from __future__ import annotations

from math import isnan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity

from vlmprobe.analysis import layer_metrics

SIX = ["left", "right", "above", "below", "far", "close"]
COSINES = {"within_category_consistency", "axis_coherence", "delta_similarity", "vd_ei.eq3", "vd_ei.pooled"}


def study(seed=0, per_category=6, dim=5):
    """Pairs of all six categories, two pairs an image; opposite categories point opposite ways."""
    rng = np.random.default_rng(seed)
    categories = SIX * per_category
    n = len(categories)
    axes = np.repeat(rng.normal(size=(3, dim)), 2, axis=0) * np.array([[1.0], [-1.0]] * 3)
    orig = rng.normal(size=(n, dim))
    swap = orig + axes[np.arange(n) % 6] + rng.normal(size=(n, dim))
    return orig, swap, categories, [f"image {i // 2}" for i in range(n)]


def only(pairs, rows):
    """Keep some pairs of a study, in the order given."""
    orig, swap, categories, images = pairs
    return orig[rows], swap[rows], [categories[i] for i in rows], [images[i] for i in rows]


def by_key(metrics):
    """Look metrics up by name, subset and target."""
    return {(metric.name, metric.subset, metric.target): metric for metric in metrics}


def values(orig, swap, categories, images, **options):
    """Compute the estimates alone, of subset ``all``."""
    found = layer_metrics(orig, swap, categories, images, layer=0, intervals=False, **options)
    return {(metric.name, metric.target): metric.value for metric in found}


def test_every_metric_has_all_its_targets_in_both_subsets():
    """6 + 6 + 6 categories, 3 + 3 axes, 15 pairs of categories, 3 + 3 pairs of axes."""
    orig, swap, categories, images = study()

    metrics = layer_metrics(orig, swap, categories, images, layer=3, both_correct=np.arange(36) < 24)

    assert len(by_key(metrics)) == len(metrics) == 2 * (18 + 6 + 15 + 6)
    assert {metric.layer for metric in metrics} == {3}
    assert {metric.version for metric in metrics} == {1}
    assert {type(text) for metric in metrics for text in (metric.subset, metric.target)} == {str}


def test_without_answers_only_all_pairs_are_looked_at():
    """No mask, no subset ``both_correct``."""
    assert {metric.subset for metric in layer_metrics(*study(), layer=0, intervals=False)} == {"all"}


def test_both_correct_is_all_over_the_pairs_in_the_mask():
    """The subset's values are those of a study that holds no other pair."""
    mask = np.arange(36) % 5 > 0

    found = by_key(layer_metrics(*study(), layer=0, both_correct=mask, intervals=False))

    for metric in layer_metrics(*only(study(), np.flatnonzero(mask)), layer=0, intervals=False):
        subset = found[metric.name, "both_correct", metric.target]
        assert subset.value == pytest.approx(metric.value, abs=1e-12)
        assert subset.n == metric.n


def test_two_left_pairs_and_one_right_pair():
    """Deltas (3, 4), (4, 3) and (0, -2), sign-corrected (0, 2): every number by hand."""
    orig = np.array([[10.0, 0.0], [5.0, 0.0], [0.0, 4.0]])
    swap = np.array([[13.0, 4.0], [9.0, 3.0], [0.0, 2.0]])

    metrics = by_key(layer_metrics(orig, swap, ["left", "left", "right"], ["a", "b", "c"], layer=0))

    left = metrics["within_category_consistency", "all", "left"]
    assert (left.value, left.n) == (pytest.approx(24 / 25), 2)
    horizontal = metrics["axis_coherence", "all", "horizontal"]
    assert horizontal.value == pytest.approx((0.96 + 0.8 + 0.6) / 3)
    assert horizontal.std == pytest.approx(np.std([0.96, 0.8, 0.6]))
    norm = metrics["delta_norm", "all", "left"]
    assert (norm.value, norm.std, norm.n) == (5.0, 0.0, 2)
    ratio = metrics["delta_ratio", "all", "left"]
    assert (ratio.value, ratio.std) == (pytest.approx(0.75), pytest.approx(0.25))
    similarity = metrics["delta_similarity", "all", "left/right"]
    assert (similarity.value, similarity.n) == (pytest.approx(-np.sqrt(0.5)), 3)
    assert similarity.std is None


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_similarities_and_entanglement_are_cosines_of_mean_deltas(seed):
    """Oracle: scikit-learn's cosines of the means."""
    orig, swap, categories, images = study(seed)
    found = values(orig, swap, categories, images)
    delta, names = swap - orig, np.array(categories)

    means = np.array([delta[names == name].mean(axis=0) for name in SIX])
    matrix = cosine_similarity(means)
    for i, first in enumerate(SIX):
        for j in range(i + 1, 6):
            assert found["delta_similarity", f"{first}/{SIX[j]}"] == pytest.approx(matrix[i, j], abs=1e-12)
    eq3 = (matrix[2, 4] + matrix[3, 5] - matrix[2, 5] - matrix[3, 4]) / 4
    assert found["vd_ei.eq3", "vertical/distance"] == pytest.approx(eq3, abs=1e-12)
    vertical, distance = means[2] - means[3], means[4] - means[5]
    pooled = cosine_similarity([vertical], [distance])[0, 0]
    assert found["vd_ei.pooled", "vertical/distance"] == pytest.approx(pooled, abs=1e-12)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_rotation_and_scale_change_no_cosine(seed):
    """Metrics of direction see angles only; lengths follow the scale, ratios do not."""
    orig, swap, categories, images = study(seed)
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(5, 5)))[0]

    before = values(orig, swap, categories, images)
    after = values(7 * orig @ rotation, 7 * swap @ rotation, categories, images)

    for (name, target), value in before.items():
        factor = 7 if name == "delta_norm" else 1
        assert after[name, target] == pytest.approx(factor * value, abs=1e-10), (name, target)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_the_pairs_does_not_matter(seed):
    """Estimates and intervals are those of the set of pairs."""
    order = np.random.default_rng(seed).permutation(36)

    listed = layer_metrics(*study(seed), layer=0)
    shuffled = layer_metrics(*only(study(seed), order), layer=0)

    for one, other in zip(listed, shuffled, strict=True):
        assert (other.name, other.target, other.n) == (one.name, one.target, one.n)
        assert other.value == pytest.approx(one.value, abs=1e-10)
        if one.ci_low is not None:
            assert other.ci_low == pytest.approx(one.ci_low, abs=1e-10)
            assert other.ci_high == pytest.approx(one.ci_high, abs=1e-10)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_asking_the_questions_the_other_way_round_changes_no_cosine(seed):
    """Swapping the two sides negates every delta."""
    orig, swap, categories, images = study(seed)

    there, back = values(orig, swap, categories, images), values(swap, orig, categories, images)

    for (name, target), value in there.items():
        if name in COSINES:
            assert back[name, target] == pytest.approx(value, abs=1e-12), (name, target)


def test_naming_an_axis_the_other_way_round_flips_the_sign_of_its_entanglement():
    """Far for close and close for far: coherence stays, VD-EI changes sign."""
    orig, swap, categories, images = study()
    flipped = [{"far": "close", "close": "far"}.get(name, name) for name in categories]

    before, after = values(orig, swap, categories, images), values(orig, swap, flipped, images)

    assert after["axis_coherence", "distance"] == pytest.approx(before["axis_coherence", "distance"])
    for name in ("vd_ei.eq3", "vd_ei.pooled"):
        assert after[name, "vertical/distance"] == pytest.approx(-before[name, "vertical/distance"])
        assert after[name, "horizontal/vertical"] == pytest.approx(before[name, "horizontal/vertical"])


def test_a_category_without_pairs_is_not_a_number():
    """NaN and n = 0 wherever it takes part; what does without it is untouched."""
    kept = [i for i, name in enumerate(SIX * 6) if name != "close"]

    metrics = by_key(layer_metrics(*only(study(), kept), layer=0))

    for name, target in [
        ("within_category_consistency", "close"),
        ("delta_norm", "close"),
        ("delta_ratio", "close"),
        ("delta_similarity", "far/close"),
        ("vd_ei.eq3", "vertical/distance"),
    ]:
        metric = metrics[name, "all", target]
        assert isnan(metric.value)
        assert metric.ci_low is None or isnan(metric.ci_low)
        assert metric.ci_high is None or isnan(metric.ci_high)
        assert metric.n == 0
        assert metric.reason
    assert metrics["axis_coherence", "all", "distance"].n == 6
    assert metrics["vd_ei.pooled", "all", "vertical/distance"].n == 18


def test_no_pairs_at_all_give_metrics_without_numbers():
    """An empty subset has every row, all NaN with n = 0."""
    metrics = layer_metrics(*study(), layer=0, both_correct=np.zeros(36, dtype=bool))

    empty = [metric for metric in metrics if metric.subset == "both_correct"]
    assert len(empty) == 45
    assert all(isnan(metric.value) and metric.n == 0 for metric in empty)


def test_a_zero_delta_is_counted_and_has_no_cosine_but_a_length():
    """It leaves the cosines and stays in the mean norm."""
    orig, swap, categories, images = study()
    swap[categories.index("left")] = orig[categories.index("left")]

    metrics = by_key(layer_metrics(orig, swap, categories, images, layer=0, intervals=False))

    assert metrics["zero_deltas", "all", "horizontal"].value == 1
    assert metrics["zero_deltas", "all", "vertical"].value == 0
    assert metrics["within_category_consistency", "all", "left"].n == 5
    assert metrics["axis_coherence", "all", "horizontal"].n == 11
    assert metrics["delta_norm", "all", "left"].n == 6


def test_a_zero_state_has_no_ratio():
    """|delta| / 0 is left out of delta_ratio and its count."""
    orig, swap, categories, images = study()
    orig[categories.index("far")] = 0.0

    metric = by_key(layer_metrics(orig, swap, categories, images, layer=0))["delta_ratio", "all", "far"]

    assert np.isfinite([metric.value, metric.std, metric.ci_low, metric.ci_high]).all()
    assert metric.n == 5


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_states_that_are_not_finite_are_refused_with_layer_and_count(broken, side):
    """An overflow is reported, not averaged."""
    states = list(study())
    states[side][[4, 9]] = broken

    with pytest.raises(ValueError, match="layer 17: 2 of 36 pairs have hidden states that are not finite"):
        layer_metrics(*states, layer=17)


def test_lengths_that_differ_are_refused():
    """The error names what is too short or too long."""
    orig, swap, categories, images = study()

    with pytest.raises(ValueError, match="36 pairs need 36 images, got 35"):
        layer_metrics(orig, swap, categories, images[1:], layer=0)
    with pytest.raises(ValueError, match="36 pairs need 36 both_correct, got 35"):
        layer_metrics(orig, swap, categories, images, layer=0, both_correct=np.ones(35, dtype=bool))
