"""How large a difference must be to be resolved in four of five studies, by t and by the exact McNemar test."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vlmprobe.analysis.inference import exact_mcnemar, power_difference, power_mcnemar


@pytest.mark.parametrize("level", [0.05, 0.05 / 60])
@pytest.mark.parametrize("n", [6, 20, 80])
def test_a_t_test_resolves_it_in_four_of_five_studies(n, level):
    """Oracle: SciPy's noncentral t, which the formula stays near, rather above it, also with few images."""
    se = 0.1
    t = stats.t.ppf(1 - level / 2, n - 1)
    power = stats.nct.sf(t, n - 1, power_difference(se, n, level) / se)
    assert 0.8 <= power < 0.86
    assert power_difference(None, n, level) is None
    assert power_difference(se, 1, level) is None


def test_of_many_images_the_error_of_the_standard_error_does_not_count():
    """(t + z) se."""
    expected = (stats.norm.ppf(1 - 0.05 / 120) + stats.norm.ppf(0.8)) * 0.1
    assert power_difference(0.1, 10**6, 0.05 / 60) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("n", "lost", "level"), [(80, 0, 0.05), (80, 0, 0.05 / 60), (80, 6, 0.05 / 60)])
def test_the_exact_test_resolves_it_in_four_of_five_studies(n, lost, level):
    """Oracle: gains and losses drawn, and tested as a comparison does; half a pair more is lost than was."""
    difference, loss = power_mcnemar(n, lost, level), (lost + 0.5) / n
    rng = np.random.default_rng(3)
    drawn = rng.multinomial(n, [loss + difference, loss, 1 - 2 * loss - difference], size=4000)
    counts, times = np.unique(drawn[:, :2], axis=0, return_counts=True)
    hits = sum(
        int(k) for (up, down), k in zip(counts, times, strict=True) if exact_mcnemar(up, down) <= level
    )
    assert hits / 4000 == pytest.approx(0.8, abs=0.025)


def test_no_smaller_difference_than_one_sided_changes_could_show():
    """Of 80 pairs 12 gains and no loss are the fewest for .05 / 60: .180 of the pairs gain as many in four of five."""
    least = stats.binom.sf(11, 80, 0.1803)
    assert least == pytest.approx(0.8, abs=1e-3)
    assert 0.1803 < power_mcnemar(80, 0, 0.05 / 60) < 0.21


def test_too_few_pairs_resolve_nothing():
    """Five gains of five have p = .0625."""
    assert exact_mcnemar(5, 0) > 0.05
    assert power_mcnemar(5, 0) is None
    assert power_mcnemar(0, 0) is None
    assert power_mcnemar(20, 0, 0.05) < power_mcnemar(20, 0, 0.05 / 60)
