from __future__ import annotations

from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from vlmprobe.analysis import CategoryValidity, category_validity, wilson_interval


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_is_wilsons(counts):
    """Oracle: SciPy's interval by the same method."""
    k, n = counts

    expected = binomtest(k, n).proportion_ci(confidence_level=0.95, method="wilson")

    assert wilson_interval(k, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_none_or_all_right_leave_room_on_one_side_only():
    """The bound at the edge is exact, the other one is not at the edge."""
    assert wilson_interval(0, 10) == (0.0, pytest.approx(0.2775328))
    assert wilson_interval(10, 10) == (pytest.approx(0.7224672), 1.0)


def test_no_trials_give_no_bounds():
    """NaN, not 0 and not the whole unit interval."""
    assert all(isnan(bound) for bound in wilson_interval(0, 0))


@pytest.mark.parametrize(("k", "n"), [(-1, 5), (6, 5), (1, 0)])
def test_impossible_counts_are_refused(k, n):
    """More successes than trials are a bug in the caller."""
    with pytest.raises(ValueError, match="successes must lie between 0 and"):
        wilson_interval(k, n)


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
    with pytest.raises(ValueError, match="2 categories need as many flags, got 2 and 1"):
        category_validity(["left", "left"], [True, True], [True])
