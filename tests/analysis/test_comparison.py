"""Two checkpoints on the same pairs: what is paired, what is tested how, and what has no value."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, t

from vlmprobe.analysis import catalog
from vlmprobe.analysis.comparison import (
    SharedPairs,
    accuracy_differences,
    axis_cosines,
    geometry_differences,
    read_geometry,
)
from vlmprobe.analysis.difference import ALIKE, CLUSTERED_T, MCNEMAR, PAIRED_T, averaged, with_holm
from vlmprobe.analysis.inference import power_difference, power_mcnemar
from vlmprobe.analysis.trend import accuracy_trend, geometry_trend, trend_coefficients
from vlmprobe.pairs import SPACE

CATEGORIES = tuple(map(str, SPACE.categories))


def pairs_of(n, *, an_image=1, perspectives=("consistent", "counter", None)):
    """Return n pairs of each category in turn."""
    return SharedPairs(
        tuple(f"p{i}" for i in range(n)),
        tuple(CATEGORIES[i % 6] for i in range(n)),
        tuple(f"image {i // an_image}" for i in range(n)),
        tuple(perspectives[i // 6 % len(perspectives)] for i in range(n)),
    )


def states_of(pairs, *, seed, theta=0.3, dim=24):
    """Return states whose deltas have an axis each, and noise."""
    rng = np.random.default_rng(seed)
    orig = rng.normal(size=(len(pairs.pair_ids), dim))
    swap = orig + rng.normal(size=orig.shape) / np.sqrt(dim)
    axis_of = np.array([CATEGORIES.index(name) // 2 for name in pairs.categories])
    signs = np.array([1.0 if CATEGORIES.index(name) % 2 == 0 else -1.0 for name in pairs.categories])
    swap[np.arange(len(swap)), axis_of] += signs * np.sqrt(theta / (1 - theta))
    return orig, swap


def by_target(rows, entry):
    """Return the rows of one entry by their targets."""
    return {row.target: row for row in rows if row.entry is entry}


def test_accuracy_of_one_pair_an_image_is_tested_exactly():
    """Oracle: scipy's binomial test of gains against losses, for each axis, overall, and by perspective."""
    pairs, rng = pairs_of(180), np.random.default_rng(1)
    before, after = rng.random(180) < 0.5, rng.random(180) < 0.65
    rows = by_target(accuracy_differences(before, after, pairs), catalog.DELTA_ACCURACY)
    assert list(rows) == [*map(str, SPACE), "overall", "distance/consistent", "distance/counter"]
    for target, row in rows.items():
        expected = binomtest(row.gained, row.gained + row.lost, 0.5).pvalue
        assert (row.method, row.p_value) == (MCNEMAR, pytest.approx(expected)), target
        assert row.estimate.value == pytest.approx((row.gained - row.lost) / row.n)
        assert row.after - row.before == pytest.approx(row.estimate.value)
    assert [row.n for row in rows.values()] == [60, 60, 60, 180, 20, 20]


def test_accuracy_of_several_pairs_an_image_is_tested_over_images():
    """Four copies of each pair say no more than one: the exact test of pairs would be far too small."""
    pairs = SharedPairs(
        tuple(map(str, range(80))),
        ("left",) * 80,
        tuple(f"image {i // 4}" for i in range(80)),
        (None,) * 80,
    )
    gains = np.repeat(np.arange(20) < 4, 4)
    row = by_target(accuracy_differences(np.zeros(80, bool), gains, pairs), catalog.DELTA_ACCURACY)["overall"]
    assert (row.method, row.gained, row.lost) == (CLUSTERED_T, 16, 0)
    of_images = (np.arange(20) < 4).astype(float)
    expected = 2 * t.sf(of_images.mean() / (of_images.std(ddof=1) / np.sqrt(20)), 19)
    assert row.p_value == pytest.approx(expected)
    assert row.p_value > 0.01 > binomtest(16, 16).pvalue


def test_what_no_pair_is_about_has_no_value_and_a_reason():
    """Perspective is unknown without boxes: not 0, not left out."""
    rows = by_target(
        accuracy_differences(np.ones(60, bool), np.ones(60, bool), pairs_of(60, perspectives=(None,))),
        catalog.DELTA_ACCURACY,
    )
    row = rows["distance/counter"]
    assert (row.n, row.estimate.value, row.p_value, row.mde) == (0, None, None, None)
    assert "--boxes" in row.estimate.reason


def test_a_checkpoint_does_not_differ_from_itself():
    """The same states and answers: differences of 0, nothing gained or lost, nothing resolved."""
    pairs = pairs_of(240)
    states, layout, right = states_of(pairs, seed=2), pairs.layout(), np.arange(240) % 3 > 0
    reading = read_geometry(states, layout, SPACE)
    rows = accuracy_differences(right, right, pairs)
    rows += geometry_differences(reading, reading, pairs.counts())
    rows += axis_cosines(states, states, layout, SPACE)
    found = with_holm(rows)
    assert {row.estimate.value for row in found if row.entry is not catalog.AXIS_COSINE} <= {0.0}
    assert not any(row.is_resolved for row in found)
    assert all(row.p_value in {1.0, None} for row in found)


def test_differences_are_later_minus_earlier_with_an_interval_and_what_would_have_been_missed():
    """A weaker axis afterwards: coherence falls, resolved; its sign turns with the order."""
    pairs = pairs_of(240)
    layout = pairs.layout()
    strong = read_geometry(states_of(pairs, seed=3, theta=0.6), layout, SPACE)
    weak = read_geometry(states_of(pairs, seed=3, theta=0.3), layout, SPACE)
    rows = with_holm(geometry_differences(strong, weak, pairs.counts()))
    row = by_target(rows, catalog.DELTA_COHERENCE)["vertical"]
    assert row.method == PAIRED_T
    assert row.estimate.ci_high < 0
    assert row.is_worse
    assert row.n == 80
    assert (row.n_tests, row.mde) == (9, power_difference(row.estimate.se, 80, 0.05 / 9))
    back = by_target(geometry_differences(weak, strong, pairs.counts()), catalog.DELTA_COHERENCE)["vertical"]
    assert back.estimate.value == pytest.approx(-row.estimate.value)
    assert not with_holm([back])[0].is_worse


def test_an_angle_without_an_axis_is_missing_and_says_in_which_checkpoint():
    """No axis, no angle: neither a difference of VD-EI nor one of its size."""
    pairs = pairs_of(240)
    layout = pairs.layout()
    nothing = read_geometry(states_of(pairs, seed=4, theta=0.0), layout, SPACE)
    something = read_geometry(states_of(pairs, seed=5), layout, SPACE)
    rows = geometry_differences(nothing, something, pairs.counts())
    for entry in (catalog.DELTA_VD_EI, catalog.DELTA_VD_EI_SIZE):
        row = by_target(rows, entry)["vertical/distance"]
        assert (row.estimate.value, row.p_value) == (None, None)
        assert row.estimate.reason.startswith("earlier checkpoint: an axis is not resolved")


def test_the_cosine_of_an_axis_with_itself_in_another_checkpoint_has_no_p_value():
    """It is no difference; states of different shapes have no cosine at all."""
    pairs = pairs_of(240)
    layout, states = pairs.layout(), [states_of(pairs, seed=seed) for seed in (6, 7)]
    (row, *_) = axis_cosines(*states, layout, SPACE)
    assert row.estimate.ci_low < 1 < row.estimate.ci_high
    assert (row.p_value, row.mde) == (None, None)
    with pytest.raises(ValueError, match="one shape"):
        axis_cosines(states[0], states_of(pairs, seed=6, dim=12), layout, SPACE)


def test_a_slope_is_that_of_least_squares_on_the_logarithm_of_training():
    """Oracle: numpy's polyfit, for accuracy and for coherence."""
    amounts, pairs = [0, 80_000, 400_000, 2_000_000], pairs_of(240)
    x = np.log10(np.array(amounts) + 1.0)
    rng, layout = np.random.default_rng(8), pairs.layout()
    answers = [rng.random(240) < share for share in (0.1, 0.4, 0.5, 0.9)]
    rows = by_target(accuracy_trend(answers, amounts, pairs), catalog.TREND_ACCURACY)
    expected = np.polyfit(x, [right.mean() for right in answers], 1)[0]
    assert rows["overall"].estimate.value == pytest.approx(expected)
    readings = [
        read_geometry(states_of(pairs, seed=9, theta=theta), layout, SPACE) for theta in (0.1, 0.2, 0.3, 0.4)
    ]
    row = by_target(geometry_trend(readings, amounts, pairs.counts()), catalog.TREND_COHERENCE)["distance"]
    values = [reading.coherence["distance"].value for reading in readings]
    assert row.estimate.value == pytest.approx(np.polyfit(x, values, 1)[0])
    with pytest.raises(ValueError, match="different amounts"):
        trend_coefficients([80_000, 80_000])


def test_over_two_checkpoints_a_slope_says_what_the_difference_says():
    """The slope is the difference per tenfold training: so is its interval."""
    pairs, rng = pairs_of(120), np.random.default_rng(10)
    before, after = rng.random(120) < 0.4, rng.random(120) < 0.6
    slope = by_target(accuracy_trend([before, after], [9, 999], pairs), catalog.TREND_ACCURACY)["overall"]
    difference = by_target(accuracy_differences(before, after, pairs), catalog.DELTA_ACCURACY)["overall"]
    for name in ("value", "se", "ci_low", "ci_high"):
        assert 2 * getattr(slope.estimate, name) == pytest.approx(getattr(difference.estimate, name)), name


def test_holm_counts_the_tests_that_were_made():
    """Rows without a p-value are no tests: they make the others no weaker."""
    pairs, rng = pairs_of(120, perspectives=(None,)), np.random.default_rng(11)
    rows = accuracy_differences(rng.random(120) < 0.4, rng.random(120) < 0.6, pairs)
    tested = [row for row in with_holm(rows) if row.p_value is not None]
    smallest = min(tested, key=lambda row: row.p_value)
    assert len(tested) == 4
    assert smallest.p_holm == pytest.approx(min(1.0, 4 * smallest.p_value))


def test_what_would_have_been_resolved_is_after_holm_by_the_test_that_is_used():
    """One pair an image: the exact test of as many pairs, at .05 over the tests of the family."""
    pairs, rng = pairs_of(240, perspectives=(None,)), np.random.default_rng(13)
    rows = accuracy_differences(rng.random(240) < 0.4, rng.random(240) < 0.6, pairs)
    found = by_target(with_holm(rows), catalog.DELTA_ACCURACY)["distance"]
    assert found.mde == power_mcnemar(80, min(found.gained, found.lost), 0.05 / 4)
    several = pairs_of(240, an_image=4, perspectives=(None,))
    rows = accuracy_differences(rng.random(240) < 0.4, rng.random(240) < 0.6, several)
    found = by_target(with_holm(rows), catalog.DELTA_ACCURACY)["overall"]
    assert (found.method, found.mde) == (CLUSTERED_T, power_difference(found.estimate.se, 60, 0.05 / 4))


@pytest.mark.parametrize("share", [0, 1])
def test_where_all_answers_are_alike_there_is_no_spread_to_measure(share):
    """All wrong or all right at both checkpoints: a reason, and no MDE; it stays a test of the family."""
    pairs = pairs_of(240, perspectives=(None,))
    right = np.full(240, bool(share))
    for rows in (
        accuracy_differences(right, right, pairs),
        accuracy_trend([right] * 3, [0, 80_000, 400_000], pairs),
    ):
        row = {each.target: each for each in with_holm(rows)}["distance"]
        assert (row.alike, row.mde, row.remark, row.n_tests) == (True, None, ALIKE, 4)
        assert row.p_value == pytest.approx(1.0)
    mixed = accuracy_differences(right, ~right, pairs)[0]
    assert not mixed.alike
    assert mixed.mde is not None
    same = np.arange(240) % 2 == 0
    assert not accuracy_differences(same, same, pairs)[0].alike


def test_few_pairs_say_that_nothing_could_be_resolved():
    """Five pairs of an axis, five gained: p = .0625."""
    pairs = pairs_of(30, perspectives=(None,))
    row = with_holm(accuracy_differences(np.zeros(30, bool), np.arange(30) < 15, pairs))[0]
    assert (row.p_value is None, row.mde) == (False, None)
    assert row.remark == "too few pairs to resolve any difference over 4 tests"


def test_several_trainings_are_tested_over_trainings():
    """Two that went opposite ways: a mean of 0, whatever each one's p-value."""
    pairs = pairs_of(240)
    layout = pairs.layout()
    weak, strong = (
        read_geometry(states_of(pairs, seed=12, theta=theta), layout, SPACE) for theta in (0.2, 0.6)
    )
    both = [
        geometry_differences(first, second, pairs.counts())
        for first, second in ((weak, strong), (strong, weak))
    ]
    assert all(row.p_value < 0.001 for rows in both for row in rows if row.entry is catalog.DELTA_COHERENCE)
    row = by_target(averaged(both), catalog.DELTA_COHERENCE)["vertical"]
    assert row.estimate.value == pytest.approx(0.0, abs=1e-12)
    assert row.method == "t over trainings"
    assert row.trainings.n_trainings == 2
    assert row.trainings.sd > 10 * row.trainings.se_images
    assert not with_holm([row])[0].is_resolved
    assert averaged(both[:1]) == both[0]


def test_trainings_that_all_fall_by_the_same_amount_are_worse():
    """They have no spread for a t, so each must be worse by its own test; the largest p-value counts."""
    pairs, right = pairs_of(240), np.ones(240, dtype=bool)
    lost = np.arange(240) % 4 == 0
    falls = [accuracy_differences(right, right & ~np.roll(lost, turn), pairs) for turn in range(2)]
    row = by_target(averaged(falls), catalog.DELTA_ACCURACY)["overall"]
    assert row.trainings.sd == 0
    assert (row.method, row.p_value) == (MCNEMAR, pytest.approx(2 * 0.5**60))
    assert with_holm([row])[0].is_worse
    alike = averaged([accuracy_differences(right, right, pairs)] * 2)
    assert not any(each.is_worse for each in with_holm(alike))
