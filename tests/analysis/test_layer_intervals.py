from __future__ import annotations

from math import isnan

import numpy as np
import pytest

from vlmprobe.analysis import layer_metrics


def left_metrics(deltas, images):
    """Compute what has ``left`` as its target, for pairs that are all of that category."""
    orig = np.ones_like(deltas)
    metrics = layer_metrics(orig, orig + deltas, ["left"] * len(deltas), images, layer=0)
    return {metric.name: metric for metric in metrics if metric.target == "left"}


def test_a_single_image_shows_no_spread():
    """One image is no uncertainty of zero: there is no interval."""
    deltas = np.random.default_rng(0).normal(size=(9, 3))

    metric = left_metrics(deltas, ["one image"] * 9)["delta_norm"]

    assert np.isfinite(metric.value)
    assert (metric.ci_low, metric.ci_high) == (None, None)
    assert metric.reason


def test_a_value_that_noise_biases_has_no_interval():
    """A plug-in is biased, and pairs of one image inflate a mean cosine likewise."""
    rng = np.random.default_rng(0)
    six = ["left", "right", "above", "below", "far", "close"] * 20
    orig, swap = rng.normal(size=(2, 120, 4))
    drawn = {"layer": 0}
    plug_ins = {"delta_similarity", "vd_ei.eq3", "vd_ei.pooled"}
    cosines = {"axis_coherence", "within_category_consistency"}
    for images, biased in (
        ([str(i) for i in range(120)], plug_ins),
        ([str(i // 6) for i in range(120)], plug_ins | {"axis_coherence"}),
        ([str(i // 12) for i in range(120)], plug_ins | cosines),
    ):
        metrics = layer_metrics(orig, swap, six, images, **drawn)
        without = {each.name for each in metrics if each.method == "not-covering"}
        assert without == biased
        for each in metrics:
            assert not isnan(each.value)
            if each.name in biased:
                assert (each.ci_low, each.ci_high, each.seed) == (None, None, None)
                assert each.reason
            elif each.name != "zero_deltas":
                assert each.method == "jackknife"
                assert each.ci_low <= each.ci_high
                assert each.n_images >= 3


def test_an_interval_reaches_about_as_far_below_its_estimate_as_above():
    """Pairing a vector with its copies, cosine 1, would push unrelated vectors' intervals upwards."""
    below, above = [], []
    for seed in range(40):
        deltas = np.random.default_rng(seed).normal(size=(20, 8))
        metric = left_metrics(deltas, [str(i) for i in range(20)])["within_category_consistency"]
        assert metric.ci_low <= metric.value <= metric.ci_high
        below.append(metric.value - metric.ci_low)
        above.append(metric.ci_high - metric.value)

    assert 0.5 < np.mean(below) / np.mean(above) < 1.5


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """95 % intervals of consistency and length, over 120 studies of which the truth is known."""
    axis, noise, dim, n = np.array([1.0, 0.0, 0.0, 0.0]), 0.7, 4, 40
    rng = np.random.default_rng(0)
    many = axis + noise * rng.normal(size=(200_000, dim))
    lengths = np.linalg.norm(many, axis=1)
    direction = (many / lengths[:, None]).mean(axis=0)
    truth = {"within_category_consistency": direction @ direction, "delta_norm": lengths.mean()}

    covered = dict.fromkeys(truth, 0)
    for _ in range(120):
        deltas = axis + noise * rng.normal(size=(n, dim))
        found = left_metrics(deltas, [str(i) for i in range(n)])
        for name, value in truth.items():
            covered[name] += found[name].ci_low <= value <= found[name].ci_high

    assert min(covered.values()) >= 0.88 * 120


def test_pairs_of_one_image_do_not_count_as_independent():
    """Four copies of every pair in one image leave the interval as wide as without the copies."""
    deltas = 1 + np.random.default_rng(0).normal(size=(30, 3))

    def width(deltas, images):
        found = left_metrics(deltas, images)["delta_norm"]
        return found.ci_high - found.ci_low

    images, copies = [str(i) for i in range(30)], np.tile(deltas, (4, 1))
    alone = width(deltas, images)
    assert width(copies, images * 4) == pytest.approx(alone)
    assert width(copies, [str(i) for i in range(120)]) < 0.7 * alone
