"""Two one-sided tests, against SciPy's tests and by hand."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from scipy import stats

from vlmprobe.analysis.geometry import attenuation
from vlmprobe.analysis.inference import Estimate, binomial_se, effective_wilson, equivalence, share_se
from vlmprobe.analysis.inference.equivalence import DIFFERENT, EQUIVALENT, NOT_DECIDED


@pytest.mark.parametrize("shift", [-0.4, 0.0, 0.3, 0.9])
def test_it_is_two_one_sided_t_tests(shift):
    """Oracle: SciPy's one-sample t against either margin; the larger p counts, as in statsmodels' ttost_paired."""
    values = np.random.default_rng(0).normal(shift, 1.0, size=40)
    margin = 0.8
    lower = stats.ttest_1samp(values, -margin, alternative="greater").pvalue
    upper = stats.ttest_1samp(values, margin, alternative="less").pvalue
    found = equivalence(values.mean(), values.std(ddof=1) / sqrt(40), margin, 39)
    assert found.p_equivalent == pytest.approx(max(lower, upper), rel=1e-9)
    assert found.p_different == pytest.approx(stats.ttest_1samp(values, 0).pvalue, rel=1e-9)
    interval = stats.t.interval(0.95, 39, values.mean(), values.std(ddof=1) / sqrt(40))
    assert (found.ci_low, found.ci_high) == pytest.approx(interval, rel=1e-9)


def test_without_an_end_of_degrees_of_freedom_it_is_normal():
    """Oracle: SciPy's normal distribution."""
    found = equivalence(0.01, 0.01, 0.03)
    assert found.p_equivalent == pytest.approx(stats.norm.sf(2.0), rel=1e-6)
    assert found.verdict == EQUIVALENT


@pytest.mark.parametrize(
    ("difference", "se", "verdict"),
    [(0.0, 0.01, EQUIVALENT), (0.0, 0.05, NOT_DECIDED), (0.2, 0.05, DIFFERENT), (0.03, 0.001, DIFFERENT)],
)
def test_not_different_is_not_the_same(difference, se, verdict):
    """A difference of exactly 0 is not decided where it could as well be twice the margin."""
    assert equivalence(difference, se, 0.03).verdict == verdict


def test_a_small_difference_that_is_resolved_is_equivalent():
    """Both may be rejected: a real difference within the margin is one that does not matter."""
    found = equivalence(0.01, 0.001, 0.03)
    assert (found.verdict, found.p_different < 1e-9) == (EQUIVALENT, True)


@pytest.mark.parametrize(("se", "margin"), [(0.0, 0.03), (float("nan"), 0.03), (0.01, 0.0)])
def test_no_error_or_no_margin_is_no_test(se, margin):
    """A number without an error would be equivalent to anything near it."""
    with pytest.raises(ValueError, match="above 0"):
        equivalence(0.0, se, margin)


def test_a_share_of_one_has_an_error():
    """All of 65 right is no certainty: as if 66 of 67 were."""
    assert binomial_se(1.0, 65) == pytest.approx(sqrt(66 / 67 * 1 / 67 / 67))
    assert binomial_se(0.5, 998) == pytest.approx(sqrt(0.25 / 1000))


def test_pairs_of_an_image_count_less():
    """Copies of each pair leave the error of a share about as it is; bounds that are NULL leave none."""
    correct = np.arange(60) % 3 > 0
    once = share_se(effective_wilson(correct, [str(i) for i in range(60)]))
    copied = share_se(effective_wilson(np.repeat(correct, 4), [str(i // 4) for i in range(240)]))
    assert copied == pytest.approx(once, rel=1e-9)
    assert share_se(effective_wilson([True] * 20, [str(i // 2) for i in range(20)])) == binomial_se(1.0, 10)
    assert share_se(Estimate(0.5, 3, reason="few")) is None


def test_attenuation_is_that_of_simulated_means():
    """E cos of two plug-in means of n deltas is the true cosine times the factor; the paper's case by hand."""
    assert attenuation(0.05, 1.0, 200) == pytest.approx(0.956, abs=5e-4)
    assert attenuation(0.05, 1.0, 16) == pytest.approx(0.68, abs=5e-3)
    rng, dim, n, theta = np.random.default_rng(1), 400, 20, 0.1
    axis = np.eye(dim)[0] * sqrt(theta)
    cosines = []
    for _ in range(100):
        first, second = (
            (axis + rng.normal(0, sqrt((1 - theta) / dim), size=(n, dim))).mean(axis=0) for _ in range(2)
        )
        cosines.append(first @ second / np.linalg.norm(first) / np.linalg.norm(second))
    assert np.mean(cosines) == pytest.approx(attenuation(theta, theta, n), abs=0.02)


@pytest.mark.parametrize(("first", "second", "n"), [(0.0, 0.5, 20), (-0.1, 0.5, 20), (0.5, 0.5, 0)])
def test_without_an_axis_there_is_no_attenuation(first, second, n):
    """NULL, not 0."""
    assert attenuation(first, second, n) is None
