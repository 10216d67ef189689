"""Differences of sizes, where the sign of a value may not be known."""

from __future__ import annotations

import numpy as np
import pytest

from vlmprobe.analysis.inference import (
    Contrast,
    Statistic,
    contrast,
    contrast_of_sizes,
    paired_t,
    wild_p_of_contrasts,
    wild_p_values,
)
from vlmprobe.analysis.inference.sizes import OPEN_SIGN


def mean_of(values):
    """Return the mean of one number an image, with its leave-one-outs."""
    values = np.asarray(values, dtype=np.float64)
    n = len(values)
    return Statistic(values.mean(), (values.sum() - values) / (n - 1), np.ones(n, dtype=bool), n)


def draws(rng, *means, n=60):
    """Draw one mean for each true value, with a standard error of .13."""
    return [mean_of(mean + rng.normal(size=n)) for mean in means]


def test_where_signs_are_known_it_is_the_contrast_of_the_values_with_these_signs():
    """A cosine of -.9 is larger than one of .5."""
    rng = np.random.default_rng(0)
    small, large = draws(rng, 2.0, -3.0)
    found = contrast_of_sizes([small, large], (-1, 1))
    assert len(found.candidates) == 1
    plain = contrast([small, large], (-1, -1))
    assert found.estimate() == plain.estimate()
    assert found.p_value() == paired_t(plain)
    assert found.estimate().value == pytest.approx(abs(large.value) - small.value)


def test_an_open_sign_makes_the_interval_the_hull_and_the_p_value_the_largest():
    """One value is clearly above 0, of the other the sign is not known."""
    clear, unknown = mean_of([1.0, 1.2, 0.8, 1.1]), mean_of([0.4, -0.3, 0.2, -0.1])
    found = contrast_of_sizes([clear, unknown], (1, -1))
    each = [contrast([clear, unknown], (1, sign)) for sign in (-1, 1)]
    estimate, apart = found.estimate(), [one.estimate() for one in each]
    assert estimate.value == pytest.approx(clear.value - abs(unknown.value))
    assert estimate.ci_low == min(one.ci_low for one in apart)
    assert estimate.ci_high == max(one.ci_high for one in apart)
    assert estimate.se == max(one.se for one in apart)
    assert estimate.note == OPEN_SIGN
    assert found.p_value() == max(paired_t(one) for one in each)
    assert wild_p_of_contrasts([found, Contrast((clear,))], seed=0) == (
        max(wild_p_values(each, seed=0)),
        wild_p_values([clear], seed=0)[0],
    )


def test_without_angles_there_is_nothing_to_test():
    """Axes without height and depth have no VD-EI."""
    assert wild_p_of_contrasts([], seed=0) == ()


def test_a_value_that_is_missing_leaves_no_interval():
    """As of any contrast, whichever of the two is missing."""
    nothing = Statistic(float("nan"), np.full(4, np.nan), np.ones(4, dtype=bool), 4, reason="no axis")
    found = contrast_of_sizes([mean_of([0.4, -0.3, 0.2, -0.1]), nothing], (1, -1))
    assert found.p_value() is None
    assert found.estimate().ci_low is None
    assert found.estimate().value is None
    assert found.estimate().reason == "no axis"


def test_equal_sizes_near_0_are_told_apart_in_five_of_a_hundred_studies_at_most():
    """Two values of one true .1 that err in opposite ways, as two halves of one sum do.

    By the observed signs alone more than 40 % are: the difference of the sizes is then the sum of the two values.
    """
    rng, by_observed, found = np.random.default_rng(1), 0, 0
    for _ in range(400):
        noise = rng.normal(size=60)
        both = [mean_of(0.1 + noise + 0.1 * rng.normal(size=60)), mean_of(0.1 - noise)]
        sizes = contrast_of_sizes(both, (1, -1))
        by_observed += paired_t(sizes.candidates[0]) <= 0.05
        found += sizes.p_value() <= 0.05
    assert found <= 0.065 * 400
    assert by_observed > 0.4 * 400
