"""Directions for use elsewhere: towards the canonical category, free of what every swap does."""

from __future__ import annotations

import numpy as np
import pytest

from vlmprobe.analysis.fitted_directions import NO_AXIS, fit_direction, without_interval
from vlmprobe.analysis.geometry.halves import TOO_FEW_FOR_HALVES
from vlmprobe.analysis.inference import Estimate


def swaps(n_above, n_below, *, order=0.0, strength=3.0, seed=0):
    """Return states whose first dimension holds height, and whose second one rises with any swap."""
    rng = np.random.default_rng(seed)
    above = np.arange(n_above + n_below) < n_above
    height = np.where(above, 1.0, -1.0)[:, None] * strength * np.eye(6)[0]
    orig = rng.normal(size=(len(above), 6)) + height
    swap = rng.normal(size=(len(above), 6)) - height + order * np.eye(6)[1]
    return (
        orig,
        swap,
        np.where(above, "above", "below").tolist(),
        [f"image {row}" for row in range(len(above))],
    )


def test_a_direction_points_to_the_canonical_category():
    """A state of an object that is above lies farther along it."""
    orig, swap, categories, images = swaps(40, 40)
    found = fit_direction(orig, swap, categories, images, "vertical")
    assert found.vector[0] > 0.98
    assert np.linalg.norm(found.vector) == pytest.approx(1)
    assert found.norm == pytest.approx(6, abs=0.5)
    assert found.size.ci_low < 36 < found.size.ci_high
    assert (found.accuracy.value, found.accuracy.ci_high, found.accuracy.reason) == (1.0, 1.0, "")
    assert (found.n, found.n_images) == (80, 80)


def test_what_any_swap_does_is_not_in_it():
    """Refutes: the mean of sign-corrected deltas leans to an order effect where categories are not equally many."""
    orig, swap, categories, images = swaps(80, 20, order=12.0)
    assert abs(fit_direction(orig, swap, categories, images, "vertical").vector[1]) < 0.05
    pooled = np.mean((swap - orig) * np.where(np.array(categories) == "above", 1, -1)[:, None], axis=0)
    assert abs(pooled[1]) / np.linalg.norm(pooled) > 0.5


def test_its_accuracy_is_read_on_the_other_half():
    """Of noise it is near a half, without an interval; on the pairs it was fitted on, it would not be."""
    rng = np.random.default_rng(1)
    orig, swap = rng.normal(size=(2, 60, 200))
    categories = ["above", "below"] * 30
    found = fit_direction(orig, swap, categories, [f"image {row}" for row in range(60)], "vertical")
    assert 0.3 < found.accuracy.value < 0.7
    assert not found.size.is_resolved
    assert (found.accuracy.ci_low, found.accuracy.ci_high, found.accuracy.reason) == (None, None, NO_AXIS)
    along = (orig - swap) @ found.vector
    assert ((along > 0) == (np.array(categories) == "above")).mean() > 0.9
    few = fit_direction(
        orig[:30], swap[:30], categories[:30], [f"image {row}" for row in range(30)], "vertical"
    )
    assert (few.accuracy.value, few.accuracy.reason) == (None, TOO_FEW_FOR_HALVES)


def test_the_interval_goes_where_the_run_has_no_axis():
    """Also where its length is resolved in this layer, by chance; a reason that is there stays."""
    found = fit_direction(*swaps(40, 40), "vertical").accuracy
    assert without_interval(found) == Estimate(1.0, 80, 0.0, reason=NO_AXIS)
    few = fit_direction(*swaps(10, 10), "vertical").accuracy
    assert without_interval(few) == few == Estimate(None, 20, reason=TOO_FEW_FOR_HALVES)


def test_without_both_categories_there_is_no_direction():
    """Nor where every delta is the same."""
    orig, swap, categories, images = swaps(10, 0)
    assert fit_direction(orig, swap, categories, images, "vertical") is None
    assert fit_direction(orig, swap, categories, images, "distance") is None
    same = np.ones((4, 3))
    assert fit_direction(same, same, ["far", "close"] * 2, list("abcd"), "distance") is None
