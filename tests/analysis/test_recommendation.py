"""A layer is recommended for the axes that are there, and none where there is no axis."""

from __future__ import annotations

from math import isnan, nan

import pytest

from vlmprobe.analysis import Metric
from vlmprobe.analysis.layer_choice import candidates_of
from vlmprobe.analysis.recommendation import NO_AXIS, range_of_angles, recommend
from vlmprobe.pairs import SPACE

AXES = tuple(map(str, SPACE))


def row(name, target, layer, value, p_value=None, subset="all"):
    """Return a metric."""
    return Metric(name, 1, subset, target, layer, value, None, 80, p_value=p_value, n_images=80)


def run(p_values, curves, angles=()):
    """Return the metrics of a run: axis tests, coherence by layer, and VD-EI by layer."""
    tests = [
        row("axis_test", axis, -1, nan if p is None else p, p) for axis, p in zip(AXES, p_values, strict=True)
    ]
    coherence = [
        row("axis_coherence", axis, layer, value)
        for axis, curve in zip(AXES, curves, strict=True)
        for layer, value in enumerate(curve)
    ]
    return (
        tests
        + coherence
        + [row("vd_ei.corrected", "vertical/distance", layer, v) for layer, v in enumerate(angles)]
    )


NOISE = (0.01, 0.02, -0.01, 0.0, 0.01, -0.02)
AXIS = (0.0, 0.1, 0.4, 0.5, 0.48, 0.2)


def test_without_an_axis_no_layer_is_recommended():
    """The published shortlist takes the highest noise for a peak; it is kept, and not called recommended."""
    metrics = run((0.3, 0.5, 0.9), (NOISE, NOISE, NOISE))
    found = recommend(metrics, 10)
    assert candidates_of(metrics, 10).recommended == 1
    assert (found.layer, found.axes, found.candidate_range, found.reason) == (None, (), (), NO_AXIS)
    assert recommend(metrics[3:], 10).layer is None
    assert recommend(run((None, None, None), (NOISE, NOISE, NOISE)), 10).layer is None


def test_where_all_axes_are_there_it_is_the_published_layer():
    """The criteria are the same."""
    metrics = run((0.001, 0.001, 0.001), (AXIS, AXIS, AXIS))
    found, published = recommend(metrics, 10), candidates_of(metrics, 10)
    assert (
        (found.layer, found.candidate_range)
        == (published.recommended, published.candidate_range)
        == (3, (3, 4))
    )
    assert (found.axes, found.reason) == (AXES, "")


def test_an_axis_that_is_not_there_counts_for_nothing():
    """Its highest noise, at layer 1, would have drawn the layer to it; the row says which axes the layer is for."""
    metrics = run((0.001, 0.4, 0.002), (AXIS, NOISE, AXIS))
    found = recommend(metrics, 10)
    assert candidates_of(metrics, 10).recommended != 3
    assert (found.layer, found.axes, found.candidate_range) == (3, ("horizontal", "distance"), (3, 4))
    assert found.p_values == pytest.approx({"horizontal": 0.003, "vertical": 0.4, "distance": 0.004})


def test_the_axes_of_a_run_are_one_family():
    """Refutes: three p-values of .03 would be three axes without Holm's rule."""
    assert recommend(run((0.03, 0.03, 0.03), (AXIS, AXIS, AXIS)), 10).layer is None
    assert recommend(run((0.016, 0.03, 0.03), (AXIS, AXIS, AXIS)), 10).axes == ("horizontal",)


def test_an_axis_in_the_last_layers_alone_gives_no_layer():
    """There is an axis, so the reason is another one."""
    late = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5)
    found = recommend(run((0.001, 0.001, 0.001), ((*late[:9], 0.5),) * 3), 9)
    assert (found.layer, found.axes) == (None, AXES)
    assert "last" in found.reason


def test_the_range_of_vd_ei_is_over_the_candidates():
    """Lowest, median, highest, without an interval; NULL where nothing is recommended."""
    metrics = run((0.001, 0.001, 0.001), (AXIS, AXIS, AXIS), (0.9, 0.9, 0.9, 0.2, 0.4, 0.9))
    found = {
        each.name: each
        for each in range_of_angles(metrics, recommend(metrics, 10))
        if each.target == "vertical/distance"
    }
    assert {name: each.value for name, each in found.items()} == pytest.approx(
        {"vd_ei.range_min": 0.2, "vd_ei.range_median": 0.3, "vd_ei.range_max": 0.4}
    )
    assert {(each.ci_low, each.layer, each.n, each.reason) for each in found.values()} == {
        (None, -1, 80, "no interval: over 2 of the 2 layers worth reading")
    }
    nothing = run((0.3, 0.5, 0.9), (NOISE, NOISE, NOISE), (nan,) * 6)
    rows = range_of_angles(nothing, recommend(nothing, 10))
    assert len(rows) == 9
    assert all(isnan(each.value) and each.reason == NO_AXIS for each in rows)
