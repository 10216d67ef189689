"""Sums over groups: categories, then axes, and their inner products."""

from __future__ import annotations

import numpy as np

from vlmprobe.analysis.entanglement import grams_of_sums
from vlmprobe.analysis.groups import totals_of_targets


def test_totals_are_per_category_and_then_per_axis():
    """Sums over three left pairs, a right one and a close one."""
    assert totals_of_targets(np.array([[3, 1, 0, 0, 0, 1]])).tolist() == [[3, 1, 0, 0, 0, 1, 4, 0, 1]]


def test_sums_of_an_axis_are_sign_corrected():
    """Left (2, 0) and right (0, 1) make the horizontal sum (2, -1)."""
    sums = np.zeros((1, 6, 2))
    sums[0, :2] = [[2.0, 0.0], [0.0, 1.0]]

    grams = grams_of_sums(sums)

    left, right, horizontal = 0, 1, 6
    assert grams[0, left, left] == 4
    assert grams[0, right, right] == 1
    assert grams[0, horizontal, horizontal] == 5
    assert grams[0, left, horizontal] == 4
    assert grams[0, right, horizontal] == -1
