"""Means over trainings: what one training resolves, several may not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from vlmprobe.analysis.inference import Estimate
from vlmprobe.analysis.trainings import over_trainings


def readings(values, se=0.054):
    """Return one estimate a training, each resolved by itself."""
    return [Estimate(value, 80, se, value - 2 * se, value + 2 * se) for value in values]


def test_four_trainings_of_the_demo_do_not_resolve_vd_ei():
    """Its VD-EI at 2m, each far from 0 by its images: the mean is -.16, its interval holds 0."""
    found = over_trainings(readings([0.30, -0.60, 0.20, -0.54]))
    assert found.estimate.value == pytest.approx(-0.16)
    assert (found.estimate.ci_low, found.estimate.ci_high) == (
        pytest.approx(-0.92, abs=0.01),
        pytest.approx(0.60, abs=0.01),
    )
    assert found.p_value > 0.5
    assert found.sd == pytest.approx(0.48, abs=0.005)
    assert found.se_images == pytest.approx(0.054)


def test_the_test_is_students():
    """Oracle: scipy."""
    values = np.random.default_rng(0).normal(0.3, 0.2, size=5).tolist()
    found, expected = over_trainings(readings(values)), ttest_1samp(values, 0.0)
    low, high = expected.confidence_interval()
    assert found.p_value == pytest.approx(expected.pvalue)
    assert (found.estimate.ci_low, found.estimate.ci_high) == (pytest.approx(low), pytest.approx(high))


def test_a_mean_over_those_that_have_a_value_would_be_a_selection():
    """One training without an axis: no mean, and the reason."""
    found = over_trainings([*readings([0.3, 0.2]), Estimate(None, 80, reason="an axis is not resolved")])
    assert found.estimate.value is None
    assert found.estimate.reason == "not in 1 of 3 trainings: an axis is not resolved"
    assert (found.p_value, found.sd) == (None, None)


def test_one_training_has_no_interval_over_trainings():
    """Nothing is known of others; nor where all trainings agree to the last digit."""
    assert over_trainings(readings([0.3])).estimate == Estimate(
        0.3, 80, reason="one training: nothing is known of others"
    )
    assert over_trainings(readings([0.3, 0.3])).p_value is None
