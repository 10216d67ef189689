from __future__ import annotations

from math import isnan

import pytest

from vlmprobe.analysis import CategoryValidity, category_validity
from vlmprobe.analysis.accuracy import perspective_accuracy
from vlmprobe.analysis.inference import effective_wilson


def test_a_category_is_reliable_when_both_sides_are_at_least_at_chance():
    """Exactly half is enough; one side below half is not; no pairs give no verdict."""
    validity = category_validity(
        ["left", "left", "far", "far"],
        correct_orig=[True, False, True, True],
        correct_swap=[True, False, False, False],
    )

    assert validity["left"] == CategoryValidity(2, 0.5, 0.5, reliable=True)
    assert validity["far"] == CategoryValidity(2, 1.0, 0.0, reliable=False)
    assert validity["above"].n == 0
    assert isnan(validity["above"].acc_orig)
    assert validity["above"].reliable is None


def test_as_many_flags_as_categories_are_needed():
    """A missing flag is an error, not a shorter list."""
    with pytest.raises(ValueError, match="2 categories need one flag each, got 2 and 1"):
        category_validity(["left", "left"], [True, True], [True])


def test_accuracy_by_perspective_is_that_of_the_two_halves_and_their_gap():
    """Shares with the bounds of effective_wilson; ambiguous pairs are in neither; the share counts both halves."""
    perspectives = ["consistent"] * 30 + ["counter"] * 10 + ["ambiguous"] * 5
    correct = [True] * 27 + [False] * 3 + [True] * 4 + [False] * 11
    images = [str(number) for number in range(45)]
    consistent, counter, gap, share = perspective_accuracy(correct, perspectives, images)
    assert (consistent.value, consistent.n, consistent.n_images) == (0.9, 30, 30)
    assert consistent.ci_low == effective_wilson(correct[:30], images[:30]).ci_low
    assert (counter.value, counter.n) == (0.4, 10)
    assert gap.value == pytest.approx(0.5)
    assert gap.ci_low < 0.5 < gap.ci_high
    assert (share.value, share.n, share.ci_low) == (0.75, 40, None)


def test_without_a_perspective_there_is_nothing_and_without_one_half_a_reason():
    """No data is no row, or NaN that says why; never 0."""
    assert perspective_accuracy([True], ["ambiguous"], ["a"]) == []
    names = [str(number) for number in range(9)]
    consistent, counter, gap, share = perspective_accuracy([True] * 9, ["consistent"] * 9, names)
    assert (consistent.value, share.value) == (1.0, 1.0)
    assert isnan(counter.value)
    assert isnan(gap.value)
    assert gap.reason
