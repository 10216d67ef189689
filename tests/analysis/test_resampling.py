from __future__ import annotations

from math import isnan

import numpy as np
import pytest

from vlmprobe.analysis import bootstrap_weights, percentile_interval
from vlmprobe.analysis.groups import totals_of_targets
from vlmprobe.analysis.resampling import grams_of_sums


def test_pairs_of_one_image_are_drawn_together():
    """Three pairs about image "a" always occur equally often."""
    weights = bootstrap_weights(["a", "b", "a", "c", "a"], n_resamples=50, seed=0)

    assert weights.shape == (50, 5)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 0] == weights[:, 4]).all()
    assert (weights[:, 0] != weights[:, 1]).any()


def test_as_many_images_are_drawn_as_there_are():
    """Each resample holds three images, whatever the number of pairs."""
    weights = bootstrap_weights(["a", "b", "a", "c"], n_resamples=50, seed=0)

    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_a_seed_repeats_its_resamples():
    """Equal seeds give equal weights, another seed gives others."""
    images = ["a", "b", "c", "d"]

    first = bootstrap_weights(images, n_resamples=20, seed=7)

    assert (first == bootstrap_weights(images, n_resamples=20, seed=7)).all()
    assert (first != bootstrap_weights(images, n_resamples=20, seed=8)).any()


def test_the_order_of_the_pairs_does_not_change_the_draw():
    """An image keeps its multiplicities when the pairs are listed another way round."""
    forth = bootstrap_weights(["a", "b", "c"], n_resamples=20, seed=0)
    back = bootstrap_weights(["c", "b", "a"], n_resamples=20, seed=0)

    assert (forth == back[:, ::-1]).all()


def test_no_pairs_give_empty_resamples():
    """Nothing to draw from is no error."""
    assert bootstrap_weights([], n_resamples=3, seed=0).shape == (3, 0)


def test_the_interval_spans_the_middle_95_percent():
    """Of 0, 1, ..., 1000 the percentiles are 25 and 975."""
    assert percentile_interval(np.arange(1001.0)) == (25.0, 975.0)


def test_undefined_resamples_are_left_out_of_the_interval():
    """NaN beside 0, ..., 1000 moves neither bound."""
    assert percentile_interval(np.r_[np.full(1001, np.nan), np.arange(1001.0)]) == (25.0, 975.0)


@pytest.mark.parametrize("resampled", [[np.nan, np.nan, 1.0], [np.nan], []])
def test_too_few_defined_resamples_give_no_interval(resampled):
    """Fewer than half is too few."""
    assert all(isnan(bound) for bound in percentile_interval(np.array(resampled)))


def test_totals_are_per_category_and_then_per_axis():
    """Sums over three left pairs, a right one and a close one."""
    assert totals_of_targets(np.array([[3, 1, 0, 0, 0, 1]])).tolist() == [[3, 1, 0, 0, 0, 1, 4, 0, 1]]


def test_sums_of_an_axis_are_sign_corrected():
    """Left (2, 0) and right (0, 1) make the horizontal sum (2, -1)."""
    sums = np.zeros((1, 6, 2))
    sums[0, :2] = [[2.0, 0.0], [0.0, 1.0]]

    grams = grams_of_sums(sums)

    left, right, horizontal = 0, 1, 6
    assert grams[0, left, left] == 4
    assert grams[0, right, right] == 1
    assert grams[0, horizontal, horizontal] == 5
    assert grams[0, left, horizontal] == 4
    assert grams[0, right, horizontal] == -1
