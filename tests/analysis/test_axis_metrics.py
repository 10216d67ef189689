"""The corrected metrics of a layer: against explicit loops, what is NULL and why, and noise that has no angle."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest

from vlmprobe.analysis import AxisMetrics, PairGroups, unit
from vlmprobe.analysis.geometry.estimates import NOT_RESOLVED, TOO_FEW_IMAGES
from vlmprobe.pairs import SPACE

from ..statistics.worlds import SwapWorld
from .geometry import oracle

BALANCED, ORDER, CORRECTED, CEILING, EXCESS = (
    "axis_coherence.balanced",
    "order_coherence",
    "vd_ei.corrected",
    "vd_ei.ceiling",
    "vd_ei.excess",
)
PAIRS = {"vertical/distance": (1, 2), "horizontal/vertical": (0, 1), "horizontal/distance": (0, 2)}


def measured(deltas, codes, images, **others):
    """Compute one layer, as (subset, name, target) -> metric."""
    categories = [SPACE.categories[code] for code in codes]
    states = np.zeros_like(deltas)
    groups = PairGroups(categories, images, **others)
    found = AxisMetrics(groups, seed=5)(groups.products(states, deltas), layer=3)
    assert {metric.layer for metric in found.metrics} == {3}
    return {(each.subset, each.name, each.target): each for each in found.metrics}, found.resolved


def with_axes(seed, n=90, n_images=15):
    """Pairs of three axes, several an image."""
    rng = np.random.default_rng(seed)
    vectors, codes, images = oracle.study(seed, n=n, n_images=n_images, groups=6)
    signs = np.where(codes % 2 == 0, 1.0, -1.0)[:, None]
    vectors += 6 * signs * rng.normal(size=(3, 5))[codes // 2]
    return vectors, codes, images, rng


@pytest.mark.parametrize("seed", range(3))
def test_values_are_those_of_explicit_loops(seed):
    """Pairs of vectors of different images one by one, in both subsets."""
    vectors, codes, images, rng = with_axes(seed)
    right = rng.random(len(codes)) < 0.8
    found, _ = measured(vectors, codes, images, both_correct=right)
    for subset, rows in (("all", np.ones_like(right)), ("both_correct", right)):
        inside, of_inside = codes[rows], [images[row] for row in np.flatnonzero(rows)]
        units = unit(vectors[rows])[0]
        for axis, target in enumerate(map(str, SPACE)):
            ends = 2 * axis, 2 * axis + 1
            balanced, order = found[subset, BALANCED, target], found[subset, ORDER, target]
            expected = oracle.axis_product(units, inside, of_inside, ends, ends)
            assert balanced.value == pytest.approx(expected, abs=1e-12)
            mean = sum(oracle.product(units, inside, of_inside, one, two) for one in ends for two in ends)
            assert order.value == pytest.approx(mean / 4, abs=1e-12)
            assert balanced.n == int((inside // 2 == axis).sum())
            names = {name for name, code in zip(of_inside, inside, strict=True) if code // 2 == axis}
            assert balanced.n_images == len(names)
            assert balanced.method == "jackknife"
            assert balanced.ci_low < balanced.value < balanced.ci_high
        for target, (first, second) in PAIRS.items():
            metric = found[subset, CORRECTED, target]
            both = [(2 * axis, 2 * axis + 1) for axis in (first, second)]
            if isnan(metric.value):
                assert metric.reason
                continue
            cosine = oracle.cosine(vectors[rows], inside, of_inside, *both)
            assert metric.value == pytest.approx(cosine, abs=1e-10)


def test_too_few_images_leave_values_without_intervals_and_no_angle():
    """Every target is there; no number is 0 for lack of data."""
    vectors, codes, images, _ = with_axes(0, n=60, n_images=8)
    found, resolved = measured(vectors, codes, images)
    assert len(found) == 3 + 3 + 3 + 2 + 3
    assert not any(resolved.values())
    for axis in map(str, SPACE):
        metric = found["all", BALANCED, axis]
        assert metric.reason == TOO_FEW_IMAGES
        assert (metric.ci_low, metric.ci_high) == (None, None)
        assert not isnan(metric.value)
    for target in PAIRS:
        assert isnan(found["all", CORRECTED, target].value)
        assert found["all", CORRECTED, target].reason == TOO_FEW_IMAGES


def test_an_axis_without_pairs_has_no_value_and_no_vectors():
    """Its angle with another one likewise."""
    vectors, codes, images, _ = with_axes(1)
    rows = codes // 2 != 2
    found, resolved = measured(vectors[rows], codes[rows], [images[row] for row in np.flatnonzero(rows)])
    for name, target in (
        (BALANCED, "distance"),
        (CORRECTED, "vertical/distance"),
        (CEILING, "vertical/distance"),
    ):
        metric = found["all", name, target]
        assert isnan(metric.value)
        assert (metric.n, metric.n_images) == (0, 0)
        assert metric.reason
    assert resolved["all", "vertical"]
    assert not resolved["all", "distance"]


def test_zero_deltas_have_no_direction():
    """They are left out of the coherence, and count for lengths."""
    vectors, codes, images, _ = with_axes(2)
    of_axis = np.flatnonzero(codes // 2 == 1)
    vectors[of_axis[:4]] = 0.0
    found, _ = measured(vectors, codes, images)
    assert found["all", BALANCED, "vertical"].n == len(of_axis) - 4
    both = int((codes // 2 == 0).sum()) + len(of_axis)
    assert found["all", CORRECTED, "horizontal/vertical"].n == both


def test_noise_has_no_angle():
    """What the demo's untrained model prints: no axis, so the corrected VD-EI is NULL and says why."""
    world = SwapWorld(coherence=(0.0, 0.0, 0.0), share=0.5)
    reasons = []
    for seed in range(20):
        sample = world.sample(np.random.default_rng(seed))
        found, _ = measured(sample.deltas, sample.codes, sample.images)
        reasons += [found["all", CORRECTED, target].reason for target in PAIRS]
        assert all(abs(found["all", BALANCED, str(axis)].value) < 0.06 for axis in SPACE)
    assert reasons.count(NOT_RESOLVED) >= 58


def test_a_true_angle_is_found_where_the_published_one_is_shortened():
    """Cosine .5 at coherence .1; the ceiling says how far plug-in means are from it."""
    world = SwapWorld(coherence=(0.1, 0.1, 0.1), cosine=0.5)
    cosines, ceilings = [], []
    for seed in range(20):
        sample = world.sample(np.random.default_rng(seed))
        found, _ = measured(sample.deltas, sample.codes, sample.images)
        cosines.append(found["all", CORRECTED, "vertical/distance"].value)
        ceilings.append(found["all", CEILING, "vertical/distance"].value)
    assert np.median(cosines) == pytest.approx(0.5, abs=0.1)
    assert 0.8 < np.median(ceilings) < 0.95


def test_an_angle_and_its_excess_over_the_controls_are_tested():
    """VD at .8 and controls at 0: p-values of angle and contrasts are small, those of the controls are not."""
    world = SwapWorld(coherence=(0.3, 0.3, 0.3), cosine=0.8, pairs=100)
    sample = world.sample(np.random.default_rng(0))
    found, _ = measured(sample.deltas, sample.codes, sample.images)
    angle = found["all", CORRECTED, "vertical/distance"]
    assert (angle.p_value, angle.seed) == (1 / 5000, 5)
    for control in ("horizontal/vertical", "horizontal/distance"):
        assert found["all", CORRECTED, control].p_value > 0.01
        excess = found["all", EXCESS, control]
        sizes = abs(angle.value) - abs(found["all", CORRECTED, control].value)
        assert excess.value == pytest.approx(sizes)
        assert 0 < excess.ci_low < excess.value < excess.ci_high
        assert excess.p_value <= 2 / 5000
        assert excess.n == angle.n + found["all", CORRECTED, control].n


def test_columns_of_other_lengths_are_refused():
    """One image and flag for each pair."""
    with pytest.raises(ValueError, match="2 pairs need 2 images, got 1"):
        PairGroups(["left", "right"], ["a"])
    with pytest.raises(ValueError, match="2 pairs need 2 both_correct, got 1"):
        PairGroups(["left", "right"], ["a", "b"], both_correct=np.ones(1, dtype=bool))
