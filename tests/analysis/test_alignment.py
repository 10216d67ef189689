"""Cross-axis alignment over quads: what it measures, its controls and its p-value."""

from __future__ import annotations

import json
from itertools import product
from math import isnan
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest, t

from vlmprobe.analysis import alignment_metrics
from vlmprobe.analysis.inference import random_sign_p_values

GOLDEN = Path(__file__).parents[1] / "golden" / "molmo_400k"
PUBLISHED, CANONICAL = "cross_axis_alignment.published", "cross_axis_alignment.canonical"


def by_target(metrics, name, subset="all"):
    """Look the metrics of one name and subset up by target."""
    return {m.target: m for m in metrics if (m.name, m.subset) == (name, subset)}


def signed_quads(n, share_consistent, direction, noise=0.0, seed=0):
    """Make n quads, of which both axes point along one direction; a share of them is consistent."""
    rng = np.random.default_rng(seed)
    far = np.arange(n) % 2 == 0
    consistent = np.arange(n) < round(share_consistent * n)
    above = far == consistent
    signs = np.where(above, 1.0, -1.0), np.where(far, 1.0, -1.0)
    deltas = [sign[:, None] * (direction + noise * rng.normal(size=(n, len(direction)))) for sign in signs]
    return (*deltas, np.where(above, "above", "below").tolist(), np.where(far, "far", "close").tolist())


def random_quads(rng, n, dim=8):
    """Make n quads of unrelated deltas, two of them about every third image."""
    vertical, distance = ["above", "below"], ["far", "close"]
    return (
        *(rng.normal(size=(n, dim)) for _ in range(2)),
        rng.choice(vertical, n).tolist(),
        rng.choice(distance, n).tolist(),
        [f"image {i * 3 // 4}" for i in range(n)],
    )


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_the_published_alignment_is_the_golden_one(layer):
    """All six numbers of the reference's file follow from value, std and n of three targets."""
    vectors = np.load(GOLDEN / "npz" / "cross_group_vectors_400k.npz")
    golden = json.loads((GOLDEN / "json" / "cross_alignment_400k.json").read_text())[f"L{layer}"]
    deltas = vectors[f"delta_vert_L{layer}"], vectors[f"delta_dist_L{layer}"]

    found = by_target(alignment_metrics(*deltas, None, None, None, layer=layer), PUBLISHED)

    mine = {
        "per_sample_mean": found["per_sample"].value,
        "per_sample_std": found["per_sample"].std,
        "mean_delta_alignment": found["of_means"].value,
        "permutation_mean": found["shuffled"].value,
        "permutation_std": found["shuffled"].std,
    }
    assert found["per_sample"].n == golden.pop("n_samples") == 64
    assert set(mine) == set(golden)
    for key, expected in golden.items():
        assert abs(mine[key] - expected) <= 1e-6 + 1e-6 * abs(expected), key


def test_two_quads_by_hand():
    """Cosines 1 and -0.6, sums (1, 5) and (4.5, -3); below and far disagree, so the second is counter."""
    vertical, distance = [[1.0, 0.0], [0.0, 5.0]], [[0.5, 0.0], [4.0, -3.0]]

    metrics = alignment_metrics(
        np.array(vertical), np.array(distance), ["above", "below"], ["far", "far"], ["a", "b"], layer=7
    )

    published, canonical = by_target(metrics, PUBLISHED), by_target(metrics, CANONICAL)
    assert published["per_sample"].value == pytest.approx((1 - 0.6) / 2)
    assert published["per_sample"].std == pytest.approx(0.8)
    assert published["of_means"].value == pytest.approx(
        (1 * 4.5 + 5 * -3) / np.hypot(1, 5) / np.hypot(4.5, 3)
    )
    assert canonical["per_sample"].value == pytest.approx((1 + 0.6) / 2)
    assert canonical["per_sample/consistent"].value == pytest.approx(1.0)
    assert canonical["per_sample/counter"].value == pytest.approx(0.6)
    assert canonical["of_means"].value == pytest.approx(
        (1 * 4.5 + -5 * -3) / np.hypot(1, 5) / np.hypot(4.5, 3)
    )
    assert canonical["random_signs"].std == pytest.approx(np.hypot(1, 0.6) / 2)
    assert {metric.layer for metric in metrics} == {7}


def test_only_the_published_form_follows_the_share_of_consistent_quads():
    """From 50 to 95 % consistent, canonical alignment moves by less than 0.02, published by 0.5 and more."""
    direction = np.eye(24)[0]
    published, canonical = [], []
    for share in (0.50, 0.65, 0.80, 0.95):
        quads = signed_quads(800, share, direction, noise=0.1)
        metrics = alignment_metrics(*quads, None, layer=0)
        published.append([by_target(metrics, PUBLISHED)[t].value for t in ("per_sample", "of_means")])
        canonical.append([by_target(metrics, CANONICAL)[t].value for t in ("per_sample", "of_means")])

    assert np.ptp(canonical, axis=0).max() < 0.02
    assert np.min(canonical) > 0.7
    assert np.ptp(published, axis=0).min() > 0.5


def test_a_shared_direction_is_found_in_both_perspectives():
    """Nothing under random signs comes near: p is its smallest possible value, even where noise is small."""
    images = [str(i // 2) for i in range(80)]

    for noise in (0.0, 1.0):
        quads = signed_quads(80, 0.75, np.eye(6)[0], noise)
        found = by_target(alignment_metrics(*quads, images, layer=0, n_draws=999), CANONICAL)
        assert found["per_sample"].p_value == 0.001, noise
        # Equal deltas show no spread that a wild test could use.
        assert found["of_means"].p_value == (0.001 if noise else None)
        for target in ("per_sample", "of_means"):
            for half in ("consistent", "counter"):
                assert found[f"{target}/{half}"].value > 0, (target, half)


@pytest.mark.full
def test_without_a_shared_direction_p_is_uniform():
    """500 studies of unrelated deltas: a Kolmogorov-Smirnov test at 1 % finds nothing."""
    rng = np.random.default_rng(3)
    n = 60
    p_values = {"per_sample": [], "per_sample/counter": []}
    for number in range(500):
        metrics = alignment_metrics(*random_quads(rng, n), layer=0, n_draws=1999, seed=number)
        found = by_target(metrics, CANONICAL)
        for target, collected in p_values.items():
            collected.append(found[target].p_value)

    for target, collected in p_values.items():
        assert kstest(collected, "uniform").pvalue > 0.01, target


def test_the_p_value_is_that_of_the_signs_one_by_one():
    """The oracle flips the distance deltas of whole images in each of the 2^G ways, which many draws approach."""
    vertical, distance, *categories, images = random_quads(np.random.default_rng(5), 9)

    found = by_target(
        alignment_metrics(vertical, distance, *categories, images, layer=0, n_draws=20_000), CANONICAL
    )

    v = vertical * np.where(np.array(categories[0]) == "above", 1, -1)[:, None]
    d = distance * np.where(np.array(categories[1]) == "far", 1, -1)[:, None]
    cosines = (v * d).sum(axis=1) / np.linalg.norm(v, axis=1) / np.linalg.norm(d, axis=1)
    names = sorted(set(images))
    of_image = np.array([cosines[[image == name for image in images]].sum() for name in names])
    signs = np.array(list(product([-1, 1], repeat=len(names))))
    exact = (np.abs(signs @ of_image) >= abs(of_image.sum()) - 1e-12).mean()
    assert found["per_sample"].p_value == pytest.approx(exact, abs=0.02)
    assert found["per_sample"].seed == 42


def test_the_cosine_of_the_means_is_tested_with_the_noise_of_both():
    """Refutes: with an axis in both halves and no angle, signs on one of them reject in a third of the studies."""
    rng, axes = np.random.default_rng(7), np.eye(12)[:2]
    n, images = 40, [str(i) for i in range(40)]
    right = wrong = 0
    for number in range(150):
        signs = np.where(rng.random((2, n)) < 0.5, 1.0, -1.0)
        halves = [
            (axis + 0.7 * rng.normal(size=(n, 12))) * s[:, None] for axis, s in zip(axes, signs, strict=True)
        ]
        names = [
            np.where(signs[0] > 0, "above", "below").tolist(),
            np.where(signs[1] > 0, "far", "close").tolist(),
        ]
        metrics = alignment_metrics(*halves, *names, images, layer=0, n_draws=999, seed=number)
        right += by_target(metrics, CANONICAL)["of_means"].p_value <= 0.05
        vertical, distance = (half * s[:, None] for half, s in zip(halves, signs, strict=True))
        along = distance @ vertical.mean(axis=0)
        wrong += random_sign_p_values(along[None], along.sum()[None], seed=number, n_draws=999)[0] <= 0.05
    assert right <= 15
    assert wrong >= 20


def test_a_p_value_counts_the_data_and_ties():
    """One image: both signs give the same size. Twenty images that agree: of 1,000 draws none is as large."""
    assert random_sign_p_values(np.array([[2.0]]), np.array([2.0]), seed=0, n_draws=99) == [1.0]
    assert random_sign_p_values(np.ones((1, 20)), np.array([20.0]), seed=0, n_draws=999) == [0.001]
    zero = random_sign_p_values(np.zeros((1, 20)), np.array([0.0]), seed=0, n_draws=9)
    assert zero == [1.0]


def test_a_single_image_proves_nothing():
    """Both signs give the same |T|: p is 1, and one image shows no spread."""
    quads = signed_quads(6, 0.5, np.eye(3)[0], 0.1)

    metric = by_target(alignment_metrics(*quads, ["one"] * 6, layer=0), CANONICAL)["per_sample"]

    assert metric.p_value == 1.0
    assert (metric.ci_low, metric.ci_high) == (None, None)
    assert metric.reason


def test_quads_without_categories_or_images_have_a_published_alignment_only():
    """Imported deltas: canonical is NaN with n 0, and there are no intervals or p-values."""
    rng = np.random.default_rng(0)
    metrics = alignment_metrics(rng.normal(size=(5, 3)), rng.normal(size=(5, 3)), None, None, None, layer=0)

    published, canonical = by_target(metrics, PUBLISHED), by_target(metrics, CANONICAL)
    assert np.isfinite([metric.value for metric in published.values()]).all()
    assert len(canonical) == 12
    assert all(isnan(metric.value) and metric.n == 0 for metric in canonical.values())
    assert {metric.ci_low for metric in metrics} == {metric.p_value for metric in metrics} == {None}


def test_no_quads_give_nan_in_every_target():
    """Subset both_correct may be empty; it has the targets of ``all``, with NaN and n 0."""
    quads = random_quads(np.random.default_rng(1), 6)

    metrics = alignment_metrics(*quads, layer=0, both_correct=np.zeros(6, dtype=bool), n_draws=9)

    empty = [metric for metric in metrics if metric.subset == "both_correct"]
    assert [(m.name, m.target) for m in empty] == [(m.name, m.target) for m in metrics if m.subset == "all"]
    assert all(isnan(metric.value) and metric.n == 0 for metric in empty)
    assert all(metric.p_value is None or isnan(metric.p_value) for metric in empty)


def test_a_quad_with_a_zero_delta_is_left_out_and_counted():
    """The rest gives the same numbers as without it."""
    vertical, distance, *categories, images = random_quads(np.random.default_rng(2), 8)
    vertical[3] = 0.0
    kept = [i for i in range(8) if i != 3]

    metrics = alignment_metrics(vertical, distance, *categories, images, layer=0, n_draws=0)

    without = alignment_metrics(
        vertical[kept],
        distance[kept],
        *([names[i] for i in kept] for names in categories),
        [images[i] for i in kept],
        layer=0,
        n_draws=0,
    )
    assert (metrics[0].name, metrics[0].value, metrics[0].n) == ("zero_quads", 1.0, 8)
    assert metrics[1:] == without[1:]


def test_the_interval_is_a_jackknife_over_images():
    """Oracle: the mean cosine without each image in turn; the cosine of the means has none."""
    vertical, distance, *_, images = random_quads(np.random.default_rng(3), 24)

    found = by_target(alignment_metrics(vertical, distance, None, None, images, layer=0), PUBLISHED)

    cosines = (vertical * distance).sum(axis=1)
    cosines /= np.linalg.norm(vertical, axis=1) * np.linalg.norm(distance, axis=1)
    names = np.array(images)
    without = np.array([cosines[names != name].mean() for name in sorted(set(images))])
    n = len(without)
    half = t.ppf(0.975, n - 1) * np.sqrt((n - 1) / n * np.square(without - without.mean()).sum())
    metric = found["per_sample"]
    assert (metric.ci_low, metric.ci_high) == pytest.approx((metric.value - half, metric.value + half))
    assert (metric.n, metric.n_images, metric.method) == (24, n, "jackknife")
    assert (found["of_means"].ci_low, found["of_means"].method) == (None, "not-covering")


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_canonical_alignment_does_not_depend_on_how_the_questions_were_put(seed):
    """Exchanging subject and reference turns above into below and the delta into its negative."""
    vertical, distance, *categories, images = random_quads(np.random.default_rng(seed), 12)
    turned = np.random.default_rng(seed + 1).random(12) < 0.5
    other = {"above": "below", "below": "above"}
    names = [other[name] if turn else name for name, turn in zip(categories[0], turned, strict=True)]
    sign = np.where(turned, -1.0, 1.0)[:, None]

    first, second = (
        by_target(alignment_metrics(v, distance, c, categories[1], images, layer=0, n_draws=99), CANONICAL)
        for v, c in ((vertical, categories[0]), (vertical * sign, names))
    )

    for target in ("per_sample", "of_means", "shuffled"):
        assert first[target].value == pytest.approx(second[target].value, abs=1e-12)
        assert first[target].p_value == second[target].p_value


def test_what_does_not_fit_is_refused():
    """Not a number, a category of another axis, columns of another length: one line each."""
    vertical, distance, *categories, images = random_quads(np.random.default_rng(0), 4)
    broken = distance.copy()
    broken[2, 0] = np.inf
    with pytest.raises(ValueError, match=r"layer 17: 1 of 4 quads .* not finite; extract"):
        alignment_metrics(vertical, broken, *categories, images, layer=17)
    with pytest.raises(ValueError, match="vertical half of a quad must be above or below, not left"):
        alignment_metrics(vertical, distance, ["left"] * 4, categories[1], images, layer=0)
    with pytest.raises(ValueError, match="4 quads need 4 images, got 3"):
        alignment_metrics(vertical, distance, *categories, images[1:], layer=0)
    with pytest.raises(ValueError, match=r"one shape, got \(4, 8\) and \(3, 8\)"):
        alignment_metrics(vertical, distance[1:], *categories, images, layer=0)
