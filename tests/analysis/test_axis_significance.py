"""Whether there is an axis: the p-values of layers and of the run, where they come from and what they may not find."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest

from vlmprobe.analysis import AxisMetrics, PairGroups
from vlmprobe.analysis.axis_significance import N_DRAWS, AxisSignificance, family_size, smallest_p
from vlmprobe.analysis.inference import LabelPermutations
from vlmprobe.analysis.inference.permutation import NOT_ACROSS_IMAGES
from vlmprobe.pairs import SPACE
from vlmprobe.pairs.strata import Strata

from ..statistics.worlds import SwapWorld

BALANCED, TEST = "axis_coherence.balanced", "axis_test"


def examined(layers, codes, images, *, right=None, resolved=None, strata=None):
    """Test (L, N, D) deltas; return (name, subset, target, layer) -> metric."""
    categories = [SPACE.categories[code] for code in codes]
    groups = PairGroups(categories, images, both_correct=right)
    study = AxisMetrics(groups)
    names = [f"pair {i}" for i in range(len(codes))]
    significance = AxisSignificance(groups, names, seed=3, strata=strata)
    metrics, draws, of_layers = [], {}, {}

    def vectors(layer):
        return groups.vectors(np.zeros_like(layers[0]), layers[layer - 10], layer=layer)

    for layer, deltas in enumerate(layers, start=10):
        found = study(groups.products(np.zeros_like(deltas), deltas), layer=layer)
        metrics += found.metrics
        of_layers[layer] = resolved or found.resolved
        draws[layer] = significance.of_layer(vectors(layer))
    metrics = significance(metrics, draws, of_layers, vectors)
    return {(each.name, each.subset, each.target, each.layer): each for each in metrics}


def two_layers(world, seed=0):
    """One layer of noise and one of the world's deltas."""
    sample = world.sample(np.random.default_rng(seed))
    noise = np.random.default_rng(seed + 1).normal(size=sample.deltas.shape)
    return [noise, sample.deltas], sample


def test_the_p_value_of_a_layer_counts_permuted_labels():
    """Oracle: the same permutations, each layer's coherence under them one by one."""
    layers, sample = two_layers(SwapWorld(pairs=30, coherence=(0.02, 0.02, 0.02)))
    found = examined(layers, sample.codes, sample.images)
    # Group after group, as the study sorts them.
    rows = np.concatenate([np.flatnonzero(sample.codes == code) for code in (2, 3)])
    family = LabelPermutations(
        sample.codes[rows] == 2,
        [sample.images[row] for row in rows],
        [f"pair {row}" for row in rows],
        seed=3,
    )
    units = layers[0][rows] / np.linalg.norm(layers[0][rows], axis=1, keepdims=True)
    labels = family.draw(N_DRAWS)
    data, draws = (family.statistics(units.astype(np.float32), each) for each in (family.observed(), labels))
    metric = found[BALANCED, "all", "vertical", 10]
    assert metric.value == pytest.approx(data[0], abs=1e-6)
    assert metric.p_value == pytest.approx((1 + (draws >= data[0] - 1e-6).sum()) / (N_DRAWS + 1))
    assert metric.p_layers >= metric.p_value
    assert metric.seed == 3


@pytest.mark.parametrize(("n_runs", "n_tests"), [(1, 30), (10, 30), (11, 60), (22, 120), (75, 240)])
def test_of_many_runs_the_smallest_p_value_is_small_enough_for_all(n_runs, n_tests):
    """Holm multiplies it by three axes of each run; a clear axis in one of many layers must stand that."""
    assert family_size(n_runs) == n_tests
    assert 3 * n_runs / (40 * n_tests) <= 0.05 / 2


def test_labels_are_permuted_within_strata_of_the_images():
    """Oracle: the same permutations within the same strata; the row says so. An axis that is none goes with them."""
    world = SwapWorld(pairs=40, coherence=(0.1, 0.0, 0.1), leaning=0.3)
    layers, sample = two_layers(world)
    kinds = Strata("kind", dict(zip(sample.images, sample.strata, strict=True)))
    found, within = (examined(layers, sample.codes, sample.images, strata=each) for each in (None, kinds))
    rows = np.concatenate([np.flatnonzero(sample.codes == code) for code in (2, 3)])
    names = [f"pair {row}" for row in rows]
    family = LabelPermutations(
        sample.codes[rows] == 2,
        [sample.images[row] for row in rows],
        names,
        seed=3,
        strata=[sample.strata[row] for row in rows],
    )
    units = layers[1][rows] / np.linalg.norm(layers[1][rows], axis=1, keepdims=True)
    labels = family.draw(N_DRAWS)
    data, draws = (family.statistics(units.astype(np.float32), each) for each in (family.observed(), labels))
    p_value = within[BALANCED, "all", "vertical", 11].p_value
    assert p_value == pytest.approx((1 + (draws >= data[0] - 1e-6).sum()) / (N_DRAWS + 1))
    assert p_value > 0.05 > found[BALANCED, "all", "vertical", 11].p_value
    methods = [each[TEST, "all", "vertical", -1].method for each in (found, within)]
    assert methods == ["label permutation", "label permutation within strata of kind"]


def test_an_axis_in_one_of_two_layers_is_found_with_the_smallest_p_value():
    """Of the draws none exceeds, so p is at its floor; pairs and images are counted, in both subsets."""
    layers, sample = two_layers(SwapWorld(coherence=(0.2, 0.2, 0.2)))
    right = np.random.default_rng(5).random(len(sample.codes)) < 0.8
    found = examined(layers, sample.codes, sample.images, right=right)
    for subset in ("all", "both_correct"):
        for axis in map(str, SPACE):
            metric = found[TEST, subset, axis, -1]
            assert metric.value == metric.p_value == pytest.approx(smallest_p(2))
            assert found[BALANCED, subset, axis, 11].p_value == 1 / (N_DRAWS + 1)
            assert (metric.n, metric.n_images) == (found[BALANCED, subset, axis, 11].n,) * 2
            assert (metric.seed, metric.method) == (3, "label permutation")
            # A refined p-value is lower than what all layers share.
            assert found[BALANCED, subset, axis, 11].p_layers >= metric.value


def test_without_a_resolved_layer_no_axis_is_found():
    """Whatever the permutations say: unit vectors can turn an order effect into an axis."""
    layers, sample = two_layers(SwapWorld(coherence=(0.2, 0.2, 0.2)))
    nothing = {("all", str(axis)): False for axis in SPACE}
    found = examined(layers, sample.codes, sample.images, resolved=nothing)
    assert {found[TEST, "all", str(axis), -1].value for axis in SPACE} == {1.0}


def test_an_axis_that_cannot_be_tested_says_why():
    """One category alone: NULL, never 1."""
    layers, sample = two_layers(SwapWorld(pairs=30))
    rows = sample.codes != 5
    images = [sample.images[row] for row in np.flatnonzero(rows)]
    found = examined([each[rows] for each in layers], sample.codes[rows], images)
    metric = found[TEST, "all", "distance", -1]
    assert isnan(metric.value)
    assert (metric.p_value, metric.reason) == (None, NOT_ACROSS_IMAGES)
    assert found[BALANCED, "all", "distance", 10].p_value is None


def test_columns_of_other_lengths_are_refused():
    """One name for each pair."""
    with pytest.raises(ValueError, match="2 pairs need one name each, got 1"):
        AxisSignificance(PairGroups(["left", "right"], ["a", "b"]), ["1"], seed=0)
