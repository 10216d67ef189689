from __future__ import annotations

import numpy as np
import pytest

from vlmprobe.analysis import axis_direction, deltas, sign_corrected, unit


def test_a_delta_is_swap_minus_orig():
    """The delta points from the original to the swapped state."""
    assert deltas(np.array([[1.0, 2.0]]), np.array([[4.0, 6.0]])).tolist() == [[3.0, 4.0]]


def test_half_precision_states_are_subtracted_in_float64():
    """2048 - 0.5 is no float16, but it is the delta of two float16 states."""
    delta = deltas(np.array([[0.5]], dtype=np.float16), np.array([[2048.0]], dtype=np.float16))

    assert delta.dtype == np.float64
    assert delta.tolist() == [[2047.5]]


@pytest.mark.parametrize(("orig", "swap"), [((2, 3), (3, 3)), ((2, 3), (2, 4)), ((3,), (3,))])
def test_states_of_different_shapes_are_refused(orig, swap):
    """A mismatch is an error, not a broadcast."""
    with pytest.raises(ValueError, match=r"must be \(N, D\) arrays of one shape"):
        deltas(np.zeros(orig), np.zeros(swap))


def test_a_zero_vector_has_no_direction():
    """It is left out, and the mask says which one it was."""
    units, kept = unit(np.array([[3.0, 4.0], [0.0, 0.0], [0.0, -2.0]]))

    assert units.tolist() == [[0.6, 0.8], [0.0, -1.0]]
    assert kept.tolist() == [True, False, True]


def test_right_below_and_close_are_negated():
    """The canonical categories keep their sign."""
    six = np.arange(1.0, 7.0)[:, None]

    corrected = sign_corrected(six, ["left", "right", "above", "below", "far", "close"])

    assert corrected.ravel().tolist() == [1.0, -2.0, 3.0, -4.0, 5.0, -6.0]


def test_an_unknown_category_is_named():
    """The error says which word it was."""
    with pytest.raises(ValueError, match="unknown category 'beside'"):
        sign_corrected(np.zeros((1, 2)), ["beside"])


def test_as_many_categories_as_deltas_are_needed():
    """Two deltas and one category are an error."""
    with pytest.raises(ValueError, match="2 deltas need one category each, got 1"):
        sign_corrected(np.zeros((2, 2)), ["left"])


def test_the_direction_of_an_axis_points_to_its_canonical_category():
    """Swapping the objects of a left pair moves by -v, of a right pair by +v: the direction is v, of length 1."""
    v = np.array([3.0, -4.0])
    orig = np.array([[1.0, 1.0], [5.0, 0.0], [0.0, 2.0]])
    swap = orig + np.array([-1.0, 1.0, -2.0])[:, None] * v
    assert axis_direction(orig, swap, ["left", "right", "left"]).tolist() == pytest.approx([0.6, -0.8])


def test_no_pair_and_no_movement_have_no_direction():
    """None, which cannot be taken for a vector of zeros."""
    states = np.ones((2, 3))
    assert axis_direction(states, states, ["far", "close"]) is None
    assert axis_direction(states[:0], states[:0], []) is None
