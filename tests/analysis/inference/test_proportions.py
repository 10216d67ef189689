from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vlmprobe.analysis.inference import (
    clustered_mean,
    effective_wilson,
    exact_mcnemar,
    paired_difference,
    paired_p_value,
    share_gap,
)
from vlmprobe.analysis.inference.jackknife import NO_SPREAD
from vlmprobe.analysis.inference.proportions import FEW_LARGE_IMAGES


def names(n, an_image=1):
    """One name for each pair's image."""
    return [f"image {i // an_image}" for i in range(n)]


def test_an_image_a_pair_is_wilson_with_students_quantile():
    """Oracle: scipy's Wilson interval at the level whose normal quantile is t."""
    correct = np.arange(60) % 4 > 0
    found = effective_wilson(correct, names(60))
    level = 1 - 2 * stats.norm.sf(stats.t.ppf(0.975, 59))
    expected = stats.binomtest(int(correct.sum()), 60).proportion_ci(level, "wilson")
    # G / (G - 1): one pair an image is a hair wider.
    assert found.ci_low == pytest.approx(expected.low, abs=2e-3)
    assert found.ci_high == pytest.approx(expected.high, abs=2e-3)


@pytest.mark.parametrize("right", [0, 7, 20])
def test_copies_of_pairs_do_not_narrow_the_interval(right):
    """Refutes: four copies of each pair, with the same answers, halve Wilson's interval."""
    correct = np.arange(20) < right
    once = effective_wilson(correct, names(20))
    copied = effective_wilson(np.repeat(correct, 4), names(80, 4))
    assert copied.ci_high - copied.ci_low >= (once.ci_high - once.ci_low) * (1 - 1e-9)
    apart = effective_wilson(np.repeat(correct, 4), names(80))
    assert apart.ci_high - apart.ci_low < 0.62 * (once.ci_high - once.ci_low)


@pytest.mark.parametrize("right", [False, True])
def test_all_right_or_all_wrong_counts_images(right):
    """No spread is seen, so each image may be one answer."""
    found = effective_wilson([right] * 80, names(80, 4))
    assert found == effective_wilson([right] * 20, names(20))
    assert 0.0 <= found.ci_low <= found.value <= found.ci_high <= 1.0


def test_one_large_image_has_no_interval():
    """One image of 60 % of the pairs says little of others."""
    images = ["large"] * 60 + names(40)
    found = effective_wilson([True, False] * 50, images)
    assert (found.value, found.ci_low, found.reason) == (0.5, None, FEW_LARGE_IMAGES)
    assert clustered_mean(np.arange(100.0), images).reason == FEW_LARGE_IMAGES
    assert paired_p_value([True] * 100, [True, False] * 50, images) is None
    assert effective_wilson([], []).value is None


def test_a_mean_over_pairs_of_their_own_images_is_students():
    """Oracle: the t interval; and of equal numbers nothing is known."""
    values = np.random.default_rng(0).normal(size=30)
    found = clustered_mean(values, names(30)).estimate()
    low, high = stats.t.interval(0.95, 29, values.mean(), values.std(ddof=1) / np.sqrt(30))
    assert (found.ci_low, found.ci_high) == (pytest.approx(low), pytest.approx(high))
    assert clustered_mean(np.ones(30), names(30)).estimate().reason == NO_SPREAD
    assert clustered_mean(np.ones(0), []).estimate().value is None


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (2, 0), (9, 0), (9, 1), (5, 5)])
def test_mcnemar_is_the_exact_binomial_test(gained, lost):
    """Oracle: scipy. +2/-0 is p = .5, +9/-0 is p = .004."""
    expected = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert exact_mcnemar(gained, lost) == pytest.approx(expected)
    before = np.array([False] * gained + [True] * lost + [True] * 30)
    after = np.array([True] * gained + [False] * lost + [True] * 30)
    assert paired_p_value(before, after, names(len(before))) == pytest.approx(expected)


def test_several_pairs_an_image_are_tested_by_image():
    """Four copies of each change are no four changes."""
    before = np.repeat(np.arange(24) >= 5, 4)
    after = np.ones(96, dtype=bool)
    assert paired_p_value(before, after, names(96, 4)) > 0.01 > exact_mcnemar(20, 0)


@pytest.mark.parametrize("an_image", [1, 2])
def test_where_all_images_change_alike_they_are_counted(an_image):
    """There is no spread for a t; that all pairs are lost is no weaker a sign than that all but one are."""
    n = 20 * an_image
    right, images = np.ones(n, dtype=bool), names(n, an_image)
    assert paired_p_value(right, ~right, images) == pytest.approx(2 * 0.5**20)
    half = np.arange(n) % an_image == 0
    assert paired_p_value(right, ~half, images) == pytest.approx(2 * 0.5**20)
    assert paired_p_value(right, right, images) == 1.0


@pytest.mark.parametrize("changed", [0, 1, 10])
def test_a_difference_has_an_interval_however_few_pairs_change(changed):
    """Also where none does: then it is as wide as one pair makes it."""
    before = np.zeros(80, dtype=bool)
    after = np.arange(80) < changed
    found = paired_difference(before, after, names(80))
    assert found.value == changed / 80
    assert found.ci_low < changed / 80 < found.ci_high
    assert found.se > 0
    with pytest.raises(ValueError, match="same pairs"):
        paired_difference(before, after[:5], names(80))


def test_of_one_pair_an_image_the_exact_test_is_stricter_than_the_interval():
    """No difference has p at most .05 and an interval that holds 0; five gained of 80 have it the other way round."""
    for gained in range(41):
        for lost in range(min(gained, 40 - gained) + 1):
            before = np.arange(40) >= 40 - lost
            after = np.arange(40) < gained
            found = paired_difference(before, after, names(40))
            if paired_p_value(before, after, names(40)) <= 0.05:
                assert found.ci_low > 0, (gained, lost)
    after = np.arange(80) < 5
    found = paired_difference(~after & after, after, names(80))
    assert (round(found.ci_low, 3), round(found.ci_high, 3)) == (0.003, 0.119)
    assert paired_p_value(~after & after, after, names(80)) == 0.0625


def test_of_several_pairs_an_image_the_interval_is_wider_than_its_test():
    """Four of 20 images of four gain one pair each, and none loses one: p is .042 and the interval holds 0."""
    before, after = np.zeros(80, dtype=bool), np.zeros(80, dtype=bool)
    after[:16:4] = True
    found = paired_difference(before, after, names(80, 4))
    assert paired_p_value(before, after, names(80, 4)) == pytest.approx(0.042, abs=5e-4)
    assert found.ci_low <= 0


def test_the_gap_of_separate_images_is_newcombes():
    """Oracle: method 10 by hand from the two intervals; swapped kinds turn it round."""
    correct = np.arange(60) % 5 > 0
    correct[40:] = np.arange(20) % 2 > 0
    first = np.arange(60) < 40
    found = share_gap(correct, first, names(60))
    one, other = effective_wilson(correct[:40], names(40)), effective_wilson(correct[40:], names(20))
    d = one.value - other.value
    low = d - np.hypot(one.value - one.ci_low, other.ci_high - other.value)
    high = d + np.hypot(one.ci_high - one.value, other.value - other.ci_low)
    assert (found.value, found.ci_low, found.ci_high) == pytest.approx((d, low, high))
    assert found.n_images == 20
    turned = share_gap(correct, ~first, names(60))
    assert (turned.ci_low, turned.ci_high) == pytest.approx((-found.ci_high, -found.ci_low))


def test_what_two_shares_have_in_common_cancels_from_their_gap():
    """Refutes: images that are right or wrong as a whole count as two samples."""
    together = np.repeat(np.arange(30) % 3 > 0, 2)
    first = np.arange(60) % 2 == 0
    of_images = share_gap(together, first, names(60, 2))
    apart = share_gap(together, first, names(60))
    assert of_images.ci_high - of_images.ci_low < 0.5 * (apart.ci_high - apart.ci_low)


def test_the_gap_has_a_width_where_all_are_right():
    """Refutes: a t interval of no spread."""
    found = share_gap([True] * 40, np.arange(40) < 20, names(40))
    assert found.value == 0.0
    assert found.ci_low < -0.1
    assert found.ci_high > 0.1
    few = share_gap([True] * 4, np.arange(4) < 2, names(4))
    assert (few.value, few.ci_low, few.reason) == (0.0, None, FEW_LARGE_IMAGES)
    assert share_gap([True] * 9, [True] * 9, names(9)).value is None
