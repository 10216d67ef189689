from __future__ import annotations

import numpy as np
import pytest

from vlmprobe.analysis import axis_pairs, category_pairs
from vlmprobe.analysis.entanglement import cosines, vd_ei_eq3, vd_ei_pooled
from vlmprobe.pairs.axes import DISTANCE, HORIZONTAL, SPACE, VERTICAL


def test_the_fifteen_pairs_of_categories_start_at_left():
    """The order of SPACE.categories decides which name comes first."""
    names = [f"{first}/{second}" for first, second in category_pairs(SPACE)]

    assert len(names) == 15
    assert names[:2] == ["left/right", "left/above"]
    assert names[-1] == "far/close"


def test_the_headline_pair_of_axes_comes_before_its_two_controls():
    """VD-EI is vertical/distance; the others tell whether every pair of axes is entangled."""
    names = [f"{first}/{second}" for first, second in axis_pairs(SPACE)]

    assert names == ["vertical/distance", "horizontal/vertical", "horizontal/distance"]


def test_cosines_of_sums_come_from_their_inner_products():
    """Sums (3, 4) and (4, 3): 24 / 25."""
    result = cosines(np.array([[25.0, 24.0], [24.0, 25.0]]), np.array([5.0, 5.0]))

    assert result == pytest.approx(np.array([[1.0, 0.96], [0.96, 1.0]]))


@pytest.mark.parametrize("rest", [0.0, 1e-15], ids=["empty", "only rounding is left"])
def test_a_sum_without_a_direction_has_no_cosine(rest):
    """Neither the noise that cancelled vectors leave nor an empty sum is mistaken for a direction."""
    result = cosines(np.array([[1.0, rest], [rest, rest**2]]), np.array([1.0, 1.0 if rest else 0.0]))

    assert np.isnan(result).tolist() == [[False, True], [True, True]]


@pytest.mark.filterwarnings("error")
def test_a_square_that_rounding_leaves_below_zero_is_a_sum_without_a_direction():
    """Such a sum's length is 0, not the root of a negative number; it says nothing of it."""
    result = cosines(np.array([[1.0, 0.0], [0.0, -1e-17]]), np.array([1.0, 1.0]))

    assert np.isnan(result).tolist() == [[False, True], [True, True]]


def six_by_six(**cells):
    """Fill cells such as ``above_far`` on both sides of the diagonal; the others are 0."""
    names = ["left", "right", "above", "below", "far", "close"]
    matrix = np.eye(6)
    for cell, value in cells.items():
        first, second = (names.index(name) for name in cell.split("_"))
        matrix[first, second] = matrix[second, first] = value
    return matrix


def test_entanglement_weighs_like_pairs_against_crossed_ones():
    """(0.8 + 0.6 + 0.4 + 0.2) / 4 for cosines whose signs follow "far is above"."""
    similarity = six_by_six(above_far=0.8, below_close=0.6, above_close=-0.4, below_far=-0.2)

    assert vd_ei_eq3(similarity) == pytest.approx(0.5)
    assert vd_ei_eq3(similarity, HORIZONTAL, VERTICAL) == 0.0


def test_a_control_pairs_canonical_with_canonical():
    """left/far and right/close count for, left/close and right/far against."""
    similarity = six_by_six(left_far=0.4, right_close=0.3, left_close=0.2, right_far=0.1)

    assert vd_ei_eq3(similarity, HORIZONTAL, DISTANCE) == pytest.approx(0.1)


def test_an_offset_that_all_deltas_share_is_no_entanglement():
    """Equal cosines everywhere cancel in the index."""
    assert vd_ei_eq3(np.full((6, 6), 0.9)) == pytest.approx(0.0)


def test_the_pooled_form_reads_the_cell_of_the_two_axes():
    """Rows 6, 7, 8 are horizontal, vertical, distance."""
    similarity = np.zeros((9, 9))
    similarity[7, 8], similarity[6, 7], similarity[6, 8] = 0.7, 0.2, 0.1

    assert [float(vd_ei_pooled(similarity, *axes)) for axes in axis_pairs(SPACE)] == [0.7, 0.2, 0.1]
