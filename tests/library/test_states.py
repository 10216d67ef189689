"""Hidden states with the ids of their pairs, and the direction of each axis."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from vlmprobe.errors import UsageError, VlmprobeError
from vlmprobe.library.states import axis_directions

if TYPE_CHECKING:
    from vlmprobe import Workspace

LAYER = 5


def test_states_are_those_of_the_pairs(workspace: Workspace) -> None:
    """(pairs, sides, dim) in float32, in the order of the table of pairs."""
    states = workspace.states("tiny/2m", LAYER)
    pairs = workspace.pairs("tiny/2m").to_pydict()
    assert states.values.shape == (96, 2, states.run.dim)
    assert states.values.dtype == np.float32
    assert list(states.pair_ids) == pairs["pair_id"]
    assert list(states.axes) == pairs["axis"]
    assert states.both_correct.tolist() == pairs["both_correct"]
    assert np.array_equal(states.deltas[3], states.values[3, 1] - states.values[3, 0].astype(np.float64))


def test_states_say_what_they_are(workspace: Workspace) -> None:
    """Without their numbers."""
    states = workspace.states("tiny/2m", LAYER)
    shape = f"96 x 2 x {states.run.dim} float32"
    assert repr(states) == f"<States of tiny @ 2m, layer {LAYER}: {shape} (pairs, sides, dim)>"


def test_an_unknown_layer_lists_those_there_are(workspace: Workspace) -> None:
    """The first is 0."""
    with pytest.raises(UsageError, match=r"tiny @ 2m has no layer 99; it has \[0, 1, 2, "):
        workspace.states("tiny/2m", 99)


def test_a_direction_points_to_the_canonical_category(workspace: Workspace) -> None:
    """Whether a pair is left or right, above or below, far or close: its subject lies that way, less its reference."""
    states = workspace.states("tiny/2m", LAYER)
    directions = workspace.directions("tiny/2m", LAYER)
    assert list(directions) == list(dict.fromkeys(states.axes))
    for axis, canonical in (("horizontal", "left"), ("vertical", "above"), ("distance", "far")):
        assert np.linalg.norm(directions[axis]) == pytest.approx(1.0)
        # The original question asks about the subject, the swapped one about the reference.
        along = -states.deltas @ directions[axis]
        of = np.array(states.categories)
        assert along[of == canonical].mean() > 0
        assert along[(np.array(states.axes) == axis) & (of != canonical)].mean() < 0


def test_an_axis_without_data_says_so(workspace: Workspace) -> None:
    """It is not among the keys, and looking it up tells why; zeros would be taken for a direction."""
    states = workspace.states("tiny/2m", LAYER)
    right = states.both_correct & (np.array(states.axes) != "distance")
    directions = axis_directions(replace(states, both_correct=right), "both_correct")
    assert "distance" not in directions
    assert directions.get("distance") is None
    with pytest.raises(
        UsageError, match="both_correct pairs: distance has no direction: no pair of it has both"
    ):
        directions["distance"]
    assert repr(directions).endswith("; without distance>")
    same = axis_directions(replace(states, values=np.ones_like(states.values)), "all")
    with pytest.raises(KeyError, match="vertical has no direction: the mean of its deltas is zero"):
        same["vertical"]


def test_a_mistyped_axis_or_subset_lists_those_there_are(workspace: Workspace) -> None:
    """The message stands without the quotes of a KeyError."""
    with pytest.raises(UsageError) as caught:
        workspace.directions("tiny/2m", LAYER)["depth"]
    assert str(caught.value) == "unknown axis 'depth'; known: horizontal, vertical, distance"
    with pytest.raises(UsageError, match="unknown subset 'right'; known: all, both_correct"):
        workspace.directions("tiny/2m", LAYER, "right")


def test_states_that_are_not_finite_have_no_direction(workspace: Workspace) -> None:
    """As in ``analyze``."""
    states = workspace.states("tiny/2m", LAYER)
    broken = states.values.copy()
    broken[0] = np.inf
    with pytest.raises(VlmprobeError, match=f"tiny @ 2m: layer {LAYER}: 1 of 96 pairs have hidden states"):
        axis_directions(replace(states, values=broken), "all")
