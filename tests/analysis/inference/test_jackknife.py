from __future__ import annotations

from math import nan, sqrt

import numpy as np
import pytest
from scipy import stats

from vlmprobe.analysis.geometry import (
    Layout,
    axis_effect,
    balanced_coherence,
    corrected_cosine,
    sums_of_vectors,
)
from vlmprobe.analysis.inference import (
    Scale,
    Statistic,
    contrast,
    holm,
    paired_t,
    wild_p_values,
)
from vlmprobe.analysis.inference.jackknife import NO_SPREAD, NO_VALUE, NOT_DEFINED_WITHOUT

from ...statistics.worlds import Twins


def mean_of(values, **options):
    """Return the mean of one number an image, with its leave-one-outs."""
    values = np.asarray(values, dtype=np.float64)
    n = len(values)
    return Statistic(values.mean(), (values.sum() - values) / (n - 1), np.ones(n, dtype=bool), n, **options)


def test_of_a_mean_the_interval_is_students():
    """Oracle: the t interval."""
    values = np.random.default_rng(0).normal(size=12)
    found = mean_of(values).estimate()
    low, high = stats.t.interval(0.95, 11, values.mean(), values.std(ddof=1) / sqrt(12))
    assert (found.ci_low, found.ci_high) == (pytest.approx(low), pytest.approx(high))
    assert paired_t(mean_of(values)) == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


def test_a_paired_difference_is_the_jackknife_of_the_differences():
    """What the two have in common cancels."""
    rng = np.random.default_rng(1)
    shared = rng.normal(size=20)
    first, second = shared + 0.1 * rng.normal(size=20), shared + 0.1 * rng.normal(size=20) + 0.2
    found = contrast([mean_of(first), mean_of(second)], (-1, 1))
    assert found.se() == pytest.approx(mean_of(second - first).se())
    assert found.se() < mean_of(first).se() / 3
    with pytest.raises(ValueError, match="same images"):
        contrast([mean_of(first), mean_of(second[:5])], (-1, 1))


def test_the_scale_below_one_keeps_bounds_there():
    """-log(1 - theta), with the standard error still in the value's own unit."""
    found = mean_of([0.9, 0.97, 0.99, 0.95, 0.999], scale=Scale.BELOW_ONE)
    assert found.estimate().ci_high < 1
    assert found.se() == pytest.approx(mean_of([0.9, 0.97, 0.99, 0.95, 0.999]).se())


@pytest.mark.parametrize(
    ("leave_outs", "value", "reason"),
    [
        ([1.0, nan, 2.0], 1.0, NOT_DEFINED_WITHOUT),
        ([1.0, 1.0, 1.0], 1.0, NO_SPREAD),
        ([nan] * 3, nan, NO_VALUE),
    ],
)
def test_where_there_is_no_interval_it_is_none_with_the_reason(leave_outs, value, reason):
    """Never a mean over the leave-one-outs that are defined."""
    statistic = Statistic(value, np.array(leave_outs), np.ones(3, dtype=bool), 3)
    found = statistic.estimate()
    assert (found.ci_low, found.ci_high, found.se, found.reason) == (None, None, None, reason)
    assert found.value == (None if value != value else value)
    assert paired_t(statistic) is None
    assert wild_p_values([statistic], seed=0) == (None,)


def test_an_interval_reaches_what_the_truth_can_be():
    """No cosine is above 1: an interval that lies wholly above is moved to reach it, and the value stands."""
    beyond = mean_of([1.01, 1.02, 1.03, 1.02], largest=1.0).estimate()
    assert (beyond.value, beyond.ci_low) == (pytest.approx(1.02), 1.0)
    across = mean_of([0.9, 1.02, 1.03, 1.02], largest=1.0)
    assert across.estimate() == mean_of([0.9, 1.02, 1.03, 1.02]).estimate()
    assert mean_of([-1.01, -1.02, -1.03, -1.02], largest=1.0).estimate().ci_high == -1.0


def test_holm_steps_down():
    """Oracle: by hand. What was not tested is none of the family."""
    assert holm([0.01, None, 0.04, 0.03]) == (
        pytest.approx(0.03),
        None,
        pytest.approx(0.06),
        pytest.approx(0.06),
    )
    assert holm([0.5, 0.9]) == (1.0, 1.0)
    assert holm([]) == ()


def test_wild_signs_are_shared_and_seeded():
    """The p-value of a statistic does not depend on what is tested beside it."""
    rng = np.random.default_rng(0)
    statistics = [mean_of(rng.normal(shift, 1, 40)) for shift in (0.0, 0.3, 2.0)]
    together = wild_p_values(statistics, seed=4, n_draws=999)
    assert together == tuple(wild_p_values([each], seed=4, n_draws=999)[0] for each in statistics)
    assert together[2] == 1 / 1000
    for each, p_value in zip(statistics, together, strict=True):
        assert p_value == pytest.approx(paired_t(each), abs=0.06)


def _twins(cosine, count, pairs=80, theta=0.5):
    for number in range(count):
        samples = Twins(pairs, (theta, theta), cosine, 0.5).sample(np.random.default_rng([2, number]))
        layout = Layout(samples[0].codes, samples[0].images, 2)
        yield samples, layout


@pytest.mark.parametrize("cosine", [0.0, -1.0])
def test_equally_coherent_axes_of_other_directions_do_not_differ(cosine):
    """Refutes: exchanging the checkpoints within images rejects in a fifth to three quarters of such studies."""
    by_t = by_exchange = 0
    count, rng = 60, np.random.default_rng(0)
    for samples, layout in _twins(cosine, count):
        coherence = [
            balanced_coherence(sums_of_vectors(s.deltas, layout).units.products(), 0) for s in samples
        ]
        by_t += paired_t(contrast(coherence, (-1, 1))) <= 0.05
        first, second = (
            s.deltas / np.linalg.norm(s.deltas, axis=1)[:, None] * np.where(s.codes == 0, 1.0, -1.0)[:, None]
            for s in samples
        )
        middle, half = (first + second) / 2, second - first
        terms = half @ middle.sum(axis=0) - (half * middle).sum(axis=1)
        drawn = np.abs(rng.choice([-1.0, 1.0], size=(199, len(terms))) @ terms)
        by_exchange += (1 + (drawn >= abs(terms.sum())).sum()) / 200 <= 0.05
    assert by_t <= 9
    assert by_exchange >= 12


@pytest.mark.parametrize("cosine", [1.0, 0.5, -1.0])
def test_the_cosine_of_two_checkpoints_axes_is_found(cosine):
    """Also where they share their noise, image by image."""
    found = [
        corrected_cosine(
            sums_of_vectors(np.vstack([s.deltas for s in samples]), layout.twice()).raw.products(),
            axis_effect(0),
            axis_effect(1),
        ).value
        for samples, layout in _twins(cosine, 25)
    ]
    assert np.median(found) == pytest.approx(cosine, abs=0.05)
