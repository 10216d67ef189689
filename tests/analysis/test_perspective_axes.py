"""VD-EI by perspective: against explicit loops, with halves that differ and halves that do not."""

from __future__ import annotations

from math import isnan, sqrt

import numpy as np
import pytest

from vlmprobe.analysis.geometry.estimates import (
    NOT_RESOLVED,
    TOO_FEW_ALIKE,
    TOO_FEW_IMAGES,
    TOO_FEW_OF_CATEGORY,
)
from vlmprobe.analysis.perspective_axes import PerspectiveAxes
from vlmprobe.pairs import SPACE

from ..statistics.worlds import SwapWorld
from .geometry import oracle

VERTICAL, CONSISTENT, COUNTER = (2, 3), (6, 7), (8, 9)
TARGET = "vertical/distance"


def measured(deltas, codes, halves, images, right=None):
    """Compute one layer, as (subset, name, target) -> metric."""
    categories = [SPACE.categories[code] for code in codes]
    study = PerspectiveAxes(categories, halves, images, both_correct=right)
    metrics = study(np.zeros_like(deltas), deltas, layer=2).metrics
    return {(each.subset, each.name, each.target): each for each in metrics}


def drawn_halves(rng, codes):
    """Give each pair a perspective; those of other axes count for nothing."""
    return rng.choice(["consistent", "counter", "ambiguous"], p=[0.45, 0.45, 0.1], size=len(codes)).tolist()


def test_values_are_those_of_explicit_loops():
    """Distance pairs of a half against all vertical ones, in both subsets; the gap is a difference."""
    vectors, codes, images = oracle.study(2, n=240, n_images=30, groups=6)
    rng = np.random.default_rng(1)
    signs = np.where(codes % 2 == 0, 1.0, -1.0)[:, None]
    # An example in which every angle has a value: enough noise for so few images, and not too much.
    vectors += 2.5 * rng.normal(size=vectors.shape)
    vectors += 0.8 * signs * rng.normal(size=(3, 5))[codes // 2]
    halves, right = drawn_halves(rng, codes), rng.random(len(codes)) < 0.8
    turned = np.array([half == "counter" for half in halves]) & (codes // 2 == 2)
    vectors[turned] += 0.8 * signs[turned] * rng.normal(size=5)
    found = measured(vectors, codes, halves, images, right)
    assert len(found) == 2 * 4 * 2
    recoded = codes.copy()
    for half, shift in (("consistent", 2), ("counter", 4), ("ambiguous", 6)):
        recoded[(codes > 3) & np.array([each == half for each in halves])] += shift
    for subset, rows in (("all", np.ones_like(right)), ("both_correct", right)):
        given = vectors[rows], recoded[rows], [images[row] for row in np.flatnonzero(rows)]

        def product(one, two, given=given):
            return oracle.axis_product(*given, one, two)

        consistent = oracle.cosine(*given, VERTICAL, CONSISTENT)
        counter = oracle.cosine(*given, VERTICAL, COUNTER)
        both = (product(VERTICAL, CONSISTENT) + product(VERTICAL, COUNTER)) / 2
        square = (
            product(CONSISTENT, CONSISTENT) + 2 * product(CONSISTENT, COUNTER) + product(COUNTER, COUNTER)
        ) / 4
        equal = both / sqrt(square * product(VERTICAL, VERTICAL))
        for name, value in (("consistent", consistent), ("counter", counter), ("equal", equal)):
            assert found[subset, f"vd_ei.{name}", TARGET].value == pytest.approx(value, abs=1e-10), name
        gap = found[subset, "vd_ei.gap", TARGET]
        assert gap.value == pytest.approx(consistent - counter, abs=1e-10)
        assert gap.ci_low < gap.value < gap.ci_high
        n = np.isin(recoded[rows], [*VERTICAL, *CONSISTENT, *COUNTER]).sum()
        assert (gap.n, gap.method) == (n, "jackknife")


def test_a_half_without_pairs_leaves_the_other_one():
    """No number of it, nor of the gap, and each says why."""
    sample = SwapWorld(coherence=(0.3, 0.3, 0.3)).sample(np.random.default_rng(0))
    found = measured(sample.deltas, sample.codes, ["consistent"] * len(sample.codes), sample.images)
    assert not isnan(found["all", "vd_ei.consistent", TARGET].value)
    for name in ("vd_ei.counter", "vd_ei.equal", "vd_ei.gap"):
        metric = found["all", name, TARGET]
        assert isnan(metric.value)
        assert metric.reason in {TOO_FEW_IMAGES, TOO_FEW_OF_CATEGORY}
    assert found["all", "vd_ei.counter", TARGET].n == 0


def test_the_mean_of_both_halves_needs_both():
    """Of halves that are too few for deltas so alike there is no angle with equal weight either."""
    sample = SwapWorld(pairs=80, coherence=(0.6, 0.6, 0.6)).sample(np.random.default_rng(1))
    halves = drawn_halves(np.random.default_rng(2), sample.codes)
    found = measured(sample.deltas, sample.codes, halves, sample.images)
    for name in ("vd_ei.consistent", "vd_ei.counter", "vd_ei.equal", "vd_ei.gap"):
        assert isnan(found["all", name, TARGET].value)
        assert found["all", name, TARGET].reason == TOO_FEW_ALIKE


def test_noise_has_no_angle_in_either_half():
    """Without an axis there is none, and no gap."""
    sample = SwapWorld(coherence=(0.0, 0.0, 0.0), share=0.5).sample(np.random.default_rng(3))
    halves = drawn_halves(np.random.default_rng(4), sample.codes)
    found = measured(sample.deltas, sample.codes, halves, sample.images)
    assert {metric.reason for metric in found.values()} == {NOT_RESOLVED}


def test_halves_drawn_by_lot_have_no_gap():
    """Where the label says nothing, the interval of the gap holds 0 in about 95 of 100 studies."""
    world, covered = SwapWorld(pairs=160, coherence=(0.07, 0.07, 0.07)), []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        sample = world.sample(rng)
        gap = measured(sample.deltas, sample.codes, drawn_halves(rng, sample.codes), sample.images)[
            "all", "vd_ei.gap", TARGET
        ]
        if not isnan(gap.value):
            covered.append(gap.ci_low <= 0 <= gap.ci_high)
    assert len(covered) > 40
    assert np.mean(covered) > 0.86


def test_columns_of_other_lengths_are_refused():
    """One perspective, image and flag for each pair."""
    with pytest.raises(ValueError, match="2 pairs need one perspective, image and flag each"):
        PerspectiveAxes(["far", "close"], [None], ["a", "b"])
