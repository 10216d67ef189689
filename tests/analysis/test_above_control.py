"""A run beside its control: what is subtracted, what that estimates, and what it is not."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from vlmprobe.analysis.above_control import (
    NO_COORDINATES,
    SAME_VECTORS,
    above_control,
    above_shuffled_labels,
    differences_above_control,
)
from vlmprobe.analysis.comparison import SharedPairs, geometry_differences, read_geometry
from vlmprobe.pairs import SPACE

CATEGORIES = tuple(map(str, SPACE.categories))
DIM = 24


def pairs_of(n, *, an_image=1):
    """Return n pairs of each category in turn."""
    return SharedPairs(
        tuple(f"p{i}" for i in range(n)),
        tuple(CATEGORIES[i % 6] for i in range(n)),
        tuple(f"image {i // an_image}" for i in range(n)),
        (None,) * n,
    )


def states_with(pairs, seed, *effects, noise=1.0, shared=None):
    """Return states whose deltas are the sum of axis effects, what two runs share, and noise of length ``noise``.

    An effect is (start, size): the axis with number k moves along dimension start + k, by size.
    """
    rng = np.random.default_rng(seed)
    codes = np.array([CATEGORIES.index(name) for name in pairs.categories])
    orig = rng.normal(size=(len(codes), DIM))
    delta = noise * rng.normal(size=orig.shape) / np.sqrt(DIM)
    for start, size in effects:
        delta[np.arange(len(codes)), start + codes // 2] += np.where(codes % 2 == 0, size, -size)
    return orig, orig + delta + (0 if shared is None else shared)


def test_the_value_is_the_mean_product_of_different_images():
    """Oracle: |alpha|^2 of the subtracted vectors by a loop over pairs of pairs, as its definition says."""
    pairs = pairs_of(48, an_image=2)
    run, blind = states_with(pairs, 1, (0, 0.5)), states_with(pairs, 2, (0, 0.3))
    vectors = (run[1] - run[0]) - (blind[1] - blind[0])
    codes = np.array([CATEGORIES.index(name) for name in pairs.categories])
    products = {kind: [] for kind in ("++", "--", "+-")}
    for i, j in combinations(np.flatnonzero(codes // 2 == 1), 2):
        if pairs.images[i] != pairs.images[j]:
            kind = "+-" if codes[i] != codes[j] else "++" if codes[i] % 2 == 0 else "--"
            products[kind].append(vectors[i] @ vectors[j])
    expected = (np.mean(products["++"]) + np.mean(products["--"]) - 2 * np.mean(products["+-"])) / 4
    row = above_control(run, blind, pairs)[1]
    assert (row.axis, row.n) == ("vertical", 16)
    assert row.size.value == pytest.approx(expected)


def test_an_axis_of_the_names_alone_cancels_however_coherent():
    """The run is as blind as its control: both are coherent, and what is left has no axis, at most 1 in 20 times."""
    pairs, added, coherent = pairs_of(180), [], []
    for seed in range(100):
        run, blind = (states_with(pairs, 1000 * k + seed, (0, 1.0)) for k in (1, 2))
        rows = above_control(run, blind, pairs)
        added += [row.adds_an_axis for row in rows]
        coherent += [row.of_control.ci_low > 0.2 for row in rows]
    assert all(coherent)
    assert sum(added) <= 15  # 300 bounds of 97.5 %: 7.5 are expected


def test_what_seeing_adds_is_estimated_without_bias_and_its_interval_covers():
    """Known truth: names move both by 1 along one direction, sight the run by .5 along another: |alpha|^2 = .25."""
    pairs, shared = pairs_of(120), np.random.default_rng(9).normal(size=(120, DIM))
    values, covered = [], []
    for seed in range(100):
        run = states_with(pairs, seed, (0, 1.0), (6, 0.5), shared=shared)
        blind = states_with(pairs, 5000 + seed, (0, 1.0), shared=shared)
        for row in above_control(run, blind, pairs):
            values.append(row.size.value)
            covered.append(row.size.ci_low <= 0.25 <= row.size.ci_high)
            assert row.adds_an_axis
    assert np.mean(values) == pytest.approx(0.25, abs=0.01)
    assert 0.9 <= np.mean(covered) <= 0.99


def test_coherence_may_be_equal_although_seeing_turned_the_axis():
    """Sight replaces the names' axis by another of the same length: the difference of coherence misses it."""
    pairs = pairs_of(240)
    rows = above_control(states_with(pairs, 3, (6, 0.7)), states_with(pairs, 4, (0, 0.7)), pairs)
    for row in rows:
        assert row.difference.ci_low < 0 < row.difference.ci_high, row.axis
        assert row.adds_an_axis
        assert row.size.value == pytest.approx(2 * 0.7**2, abs=0.25)


def test_the_difference_of_coherence_is_that_of_compare():
    """One machinery: the run is the later checkpoint, its control the earlier one."""
    pairs = pairs_of(120, an_image=2)
    run, blind = states_with(pairs, 5, (0, 0.8)), states_with(pairs, 6, (0, 0.3))
    before, after = (read_geometry(states, pairs.layout(), SPACE) for states in (blind, run))
    expected = geometry_differences(before, after, pairs.counts())[:3]
    for row, other in zip(above_control(run, blind, pairs), expected, strict=True):
        assert row.difference == other.estimate
        assert (row.coherence.value, row.of_control.value) == (other.after, other.before)


def test_vectors_of_another_network_are_not_subtracted():
    """Its coordinates mean something else: the difference of coherence stands, the size has a reason instead."""
    pairs = pairs_of(120)
    run, untrained = states_with(pairs, 7, (0, 0.8)), states_with(pairs, 8)
    rows = above_control(run, untrained, pairs, same_coordinates=False)
    assert {(row.size.value, row.size.reason, row.adds_an_axis) for row in rows} == {
        (None, NO_COORDINATES, None)
    }
    assert all(row.difference.ci_low > 0 for row in rows)
    wider = tuple(np.hstack([states, states]) for states in untrained)
    again = above_control(run, wider, pairs, same_coordinates=False)
    assert [row.of_control.value for row in again] == pytest.approx([row.of_control.value for row in rows])
    with pytest.raises(ValueError, match="must have one shape"):
        above_control(run, wider, pairs)


def test_exchanged_labels_have_no_axis_and_the_same_draw_for_the_same_seed():
    """Coherence of exchanged labels is around 0 over seeds, and each draw keeps how many pairs a category has."""
    pairs = pairs_of(120)
    run = states_with(pairs, 10, (0, 1.0))
    drawn = [above_shuffled_labels(run, pairs, seed=seed) for seed in range(40)]
    assert above_shuffled_labels(run, pairs, seed=0) == drawn[0]
    assert len({rows[0].of_control.value for rows in drawn}) == 40
    for place in range(3):
        values = [rows[place].of_control.value for rows in drawn]
        assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(40)
        assert all(rows[place].difference.ci_low > 0 for rows in drawn)
        assert drawn[0][place].size.reason == SAME_VECTORS


def test_labels_that_cannot_be_exchanged_give_a_reason_and_no_number():
    """All pairs of one image: there is nobody to exchange with, and the labels themselves are no control."""
    pairs = replace(pairs_of(60), images=("one",) * 60)
    rows = above_shuffled_labels(states_with(pairs, 11, (0, 1.0)), pairs, seed=0)
    assert {row.of_control.value for row in rows} == {None}
    assert all(row.difference.value is None and row.difference.reason for row in rows)


def test_too_few_images_give_no_bound():
    """Neither yes nor no: a control of four pairs an axis decides nothing."""
    pairs = pairs_of(12)
    for row in above_control(states_with(pairs, 12, (0, 1.0)), states_with(pairs, 13), pairs):
        assert row.adds_an_axis is None
        assert "images" in row.size.reason


def test_two_runs_above_their_controls_are_compared_with_each_image_left_out_of_all_four():
    """Oracle: the jackknife by hand, (B - control of B) - (A - control of A) computed anew without each image."""
    pairs = pairs_of(120, an_image=4)
    states = [states_with(pairs, seed, (0, size)) for seed, size in ((1, 0.4), (2, 0.8), (3, 0.1), (4, 0.5))]

    def value(kept):
        readings = []
        for orig, swap in states:
            chosen = SharedPairs(
                *(tuple(each[i] for i in kept) for each in (pairs.pair_ids, pairs.categories, pairs.images)),
                (None,) * len(kept),
            )
            readings.append(read_geometry((orig[kept], swap[kept]), chosen.layout(), SPACE))
        return differences_above_control(
            (readings[0], readings[1]), (readings[2], readings[3]), "grey", chosen.counts()
        )[0]

    row = value(list(range(120)))
    names = sorted({pairs.images[i] for i in range(120) if i % 6 < 2})
    without = [value([i for i in range(120) if pairs.images[i] != name]).estimate.value for name in names]
    n = len(names)
    spread = np.sqrt((n - 1) / n * np.square(np.array(without) - np.mean(without)).sum())
    assert (row.control, row.target, row.p_value) == ("grey", "horizontal", None)
    assert row.estimate.value == pytest.approx(row.after - row.before)
    assert row.estimate.se == pytest.approx(spread)
