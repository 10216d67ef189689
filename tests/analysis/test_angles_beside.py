"""VD-EI of a run beside that of its control: both angles, no difference, and none where there is no axis."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vlmprobe.analysis.above_control import above_shuffled_labels
from vlmprobe.analysis.angles_beside import (
    NO_DIFFERENCE,
    angles_beside,
    angles_of_controls,
    shuffled_geometry,
)
from vlmprobe.analysis.comparison import read_geometry
from vlmprobe.analysis.geometry.estimates import NOT_RESOLVED

from .test_above_control import pairs_of, states_with

ANGLES = ["vertical/distance", "horizontal/vertical", "horizontal/distance"]


def geometry_of(pairs, seed, *effects):
    """Read the geometry of made-up states."""
    return read_geometry(states_with(pairs, seed, *effects), pairs.layout(), pairs.axes)


def test_each_angle_has_its_own_value_and_a_control_without_axes_has_none():
    """Oracle: ``vd_ei.corrected`` of each of the two. NULL says why; it is never 0."""
    pairs = pairs_of(240)
    run, like, blind = (
        geometry_of(pairs, 1, (0, 1.0)),
        geometry_of(pairs, 2, (4, 1.0)),
        geometry_of(pairs, 3),
    )
    beside = angles_beside(run, like, pairs.counts())
    assert [each.axes for each in beside] == ANGLES
    assert [each.is_vd_ei for each in beside] == [True, False, False]
    for each in beside:
        assert each.of_run == run.angles[each.axes].estimate()
        assert each.of_control == like.angles[each.axes].estimate()
        assert each.of_control.ci_low < 0 < each.of_control.ci_high
        assert each.n == 160
    for each in angles_beside(run, blind, pairs.counts()):
        assert each.of_run.value is not None
        assert (each.of_control.value, each.of_control.reason) == (None, NOT_RESOLVED)


def test_two_controls_stand_side_by_side_without_a_value():
    """VD-EI alone; both estimates are kept with their intervals."""
    pairs = pairs_of(240)
    like, blind = geometry_of(pairs, 2, (4, 1.0)), geometry_of(pairs, 3)
    (row,) = angles_of_controls((like, blind), "grey", pairs.counts())
    assert (row.target, row.control, row.n, row.p_value) == (ANGLES[0], "grey", 160, None)
    assert (row.estimate.value, row.estimate.reason) == (None, NO_DIFFERENCE)
    assert row.control_before == pytest.approx(like.angles[ANGLES[0]].value)
    assert (row.control_after, row.of_controls[1].reason) == (None, NOT_RESOLVED)


def test_exchanged_labels_are_those_of_the_row_of_each_axis():
    """The same draw as of coherence; labels that cannot be exchanged give a reason and no angle."""
    pairs = pairs_of(120)
    run = states_with(pairs, 10, (0, 1.0))
    found = shuffled_geometry(run, pairs, seed=3)
    for row in above_shuffled_labels(run, pairs, seed=3):
        assert found.coherence[row.axis].estimate() == row.of_control
    alone = replace(pairs_of(60), images=("one",) * 60)
    angles = shuffled_geometry(states_with(alone, 11, (0, 1.0)), alone, seed=0).angles
    reasons = {angle.estimate().reason for angle in angles.values()}
    assert {angle.estimate().value for angle in angles.values()} == {None}
    assert "" not in reasons
