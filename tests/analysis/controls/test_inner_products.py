"""Another inner product, and dimensions that carry everything."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vlmprobe.analysis.controls import (
    InnerProduct,
    anisotropy,
    causal,
    coherence_by_dimension,
    participation_ratio,
    robustness,
    rogue_share,
    under_products,
    within_whitened,
    zscored,
)
from vlmprobe.analysis.geometry import Layout, balanced_coherence, corrected_cosine, sums_of_vectors
from vlmprobe.analysis.geometry.estimates import axis_effect

from ...statistics.worlds import SwapWorld, noise_spread

WORLD = SwapWorld(pairs=80, coherence=(0.3, 0.3, 0.3), cosine=0.7, dim=32)


def study(world=WORLD, seed=0, scale=None):
    """States of both sides of three axes' pairs; the state of a question holds half the delta of its category."""
    rng = np.random.default_rng(seed)
    sample = world.sample(rng)
    middle = rng.normal(size=(len(sample.codes), world.dim)) * noise_spread(world.dim)
    scale = np.ones(world.dim) if scale is None else scale
    orig, swap = (middle - sample.deltas / 2) * scale, (middle + sample.deltas / 2) * scale
    return orig, swap, sample.codes, sample.images


def found(seed=0, scale=None, rows=None, **options):
    """Return one study under each inner product, by its name."""
    orig, swap, codes, images = study(seed=seed, scale=scale, **options)
    logits = None if rows is None else np.cov(rows.T, bias=True)
    return {each.product: each for each in under_products(orig, swap, codes, images, 3, logits=logits)}


def test_euclid_is_the_geometry_itself():
    """Coherences of directions and cosines of deltas as they are."""
    orig, swap, codes, images = study()
    sums = sums_of_vectors(swap - orig, Layout(codes, images, 6))
    plain = found()[InnerProduct.EUCLID]
    assert plain.coherence[1] == balanced_coherence(sums.units.products(), 1).estimate()
    expected = corrected_cosine(sums.raw.products(), axis_effect(1), axis_effect(2)).estimate()
    assert plain.cosines[1, 2] == expected


def test_a_rogue_dimension_does_not_touch_the_z_scored_rows():
    """Refutes: one dimension scaled by 100 holds nearly all of a Euclidean coherence, and nothing of the z-scored."""
    world, scale = replace(WORLD, coherence=(0.6, 0.6, 0.6)), np.ones(32)
    scale[np.argmax(np.abs(world.effects()[0][1]))] = 100.0
    orig, swap, codes, images = study(world, scale=scale)
    layout = Layout(codes, images, 6)
    rogue, plain = rogue_share(swap - orig, layout, 1), rogue_share(np.divide(swap - orig, scale), layout, 1)
    assert rogue[0] > 0.9
    assert plain[0] < 0.6
    before, after = found(world=world), found(world=world, scale=scale)
    z, scaled = before[InnerProduct.ZSCORE], after[InnerProduct.ZSCORE]
    for axis in range(3):
        assert scaled.coherence[axis].value == pytest.approx(z.coherence[axis].value)
    assert scaled.cosines[1, 2].value == pytest.approx(z.cosines[1, 2].value)
    euclid = [each[InnerProduct.EUCLID].coherence[1].value for each in (before, after)]
    assert abs(euclid[0] - euclid[1]) > 0.05


def test_dimensions_sum_to_the_balanced_coherence():
    """With several pairs an image and a zero delta among them."""
    sample = SwapWorld(pairs=40, layout="mixed", dim=24).sample(np.random.default_rng(2))
    sample.deltas[5] = 0.0
    layout = Layout(sample.codes, sample.images, 6)
    for axis in range(3):
        whole = balanced_coherence(sums_of_vectors(sample.deltas, layout).units.products(), axis).value
        assert coherence_by_dimension(sample.deltas, layout, axis).sum() == pytest.approx(whole)


def test_without_coherence_no_dimension_has_a_share_of_it():
    """NULL, rather than a ratio of noise."""
    sample = SwapWorld(pairs=40, coherence=(0.0, 0.0, 0.0), dim=24).sample(np.random.default_rng(3))
    assert rogue_share(sample.deltas, Layout(sample.codes, sample.images, 6), 1) == (None, None)


def test_within_class_whitening_gives_states_one_spread():
    """Without shrinkage the covariance within classes is the identity; the means of classes are not touched."""
    rng = np.random.default_rng(0)
    classes = np.arange(400) % 4
    mixing = rng.normal(size=(12, 12))
    states = rng.normal(size=(400, 12)) @ mixing + 5.0 * np.eye(4, 12)[classes]
    white = within_whitened(states, states, classes, shrinkage=0.0)
    for number in range(4):
        white[classes == number] -= white[classes == number].mean(axis=0)
    np.testing.assert_allclose(white.T @ white / (400 - 4), np.eye(12), atol=1e-9)


def test_whitening_with_fewer_states_than_dimensions_is_that_of_the_whole_matrix():
    """Oracle: the inverse root of the D x D matrix."""
    rng = np.random.default_rng(1)
    states, vectors, classes = rng.normal(size=(20, 50)), rng.normal(size=(6, 50)), np.arange(20) % 2
    centered = states - np.stack([states[classes == each].mean(axis=0) for each in (0, 1)])[classes]
    covariance = centered.T @ centered / 18
    shrunk = 0.9 * covariance + 0.1 * np.trace(covariance) / 50 * np.eye(50)
    values, directions = np.linalg.eigh(shrunk)
    expected = vectors @ directions @ np.diag(values**-0.5) @ directions.T
    np.testing.assert_allclose(within_whitened(vectors, states, classes), expected, atol=1e-9)


def test_whitening_keeps_axes_apart_that_noise_had_joined():
    """Refutes a robust claim: axes at a Euclidean cosine near 1 that separate best along opposite directions."""
    rng = np.random.default_rng(4)
    n = 160
    axis, canonical = np.arange(n) % 2, np.arange(n) // 2 % 2 == 0
    # Both axes move along a loud dimension alike, and along a quiet one against each other.
    signs = np.where(canonical, 1.0, -1.0)
    deltas = np.zeros((n, 8))
    deltas[:, 0], deltas[:, 1] = 2.0 * signs, 0.5 * signs * np.where(axis == 0, 1.0, -1.0)
    loud = np.array([3.0, 0.05, *[1.0] * 6])
    middle = rng.normal(size=(n, 8)) * loud
    deltas += 0.3 * rng.normal(size=(n, 8)) * np.minimum(loud, 1.0)
    codes, images = 2 * axis + ~canonical, [f"image {i}" for i in range(n)]
    options = {"logits": np.cov(rng.normal(size=(8, 60)), bias=True)}
    by_product = under_products(middle - deltas / 2, middle + deltas / 2, codes, images, 2, **options)
    cosines = {each.product: each.cosines[0, 1].value for each in by_product}
    assert cosines[InnerProduct.EUCLID] > 0.8
    assert cosines[InnerProduct.WITHIN] < -0.3
    assert robustness(by_product, (0, 1), []) == "dependent"


def test_the_causal_product_is_the_covariance_of_the_logits():
    """Oracle: logits of every word, less their mean; words that all get alike do not count."""
    rng = np.random.default_rng(5)
    rows, vectors = rng.normal(size=(200, 16)) + 3.0, rng.normal(size=(5, 16))
    mapped, logits = causal(vectors, np.cov(rows.T, bias=True)), vectors @ rows.T
    np.testing.assert_allclose(mapped @ mapped.T, np.cov(logits, bias=True), atol=1e-10)


def test_a_z_score_is_that_of_the_states():
    """A dimension without spread stays 0, without a warning."""
    states = np.random.default_rng(6).normal(size=(50, 4)) * [1.0, 5.0, 0.1, 0.0]
    scored = zscored(states, states)
    np.testing.assert_allclose(scored[:, :3].std(axis=0), 1.0)
    assert not scored[:, 3].any()


def test_a_claim_is_robust_where_four_products_agree():
    """Sign, and size above both controls; a NULL or a missing product leaves it open."""
    rows = np.random.default_rng(7).normal(size=(300, 32))
    pairs = {"of": (1, 2), "controls": [(0, 1), (0, 2)]}
    every = found(rows=rows)
    assert robustness(list(every.values()), **pairs) == "robust"
    assert robustness(list(found().values()), **pairs) == "open"  # no causal product
    for change, said in (
        ({"value": None}, "open"),
        ({"value": -0.5}, "dependent"),
        ({"value": 0.01}, "dependent"),
    ):
        other = every[InnerProduct.WITHIN]
        cosines = other.cosines | {(1, 2): replace(other.cosines[1, 2], **change)}
        changed = every | {InnerProduct.WITHIN: replace(other, cosines=cosines)}
        assert robustness(list(changed.values()), **pairs) == said


def test_participation_counts_dimensions():
    """1 on a line, D where all are alike, and the closed form of two."""
    rng = np.random.default_rng(8)
    assert participation_ratio(rng.normal(size=(50, 1)) * np.ones(9)) == pytest.approx(1.0)
    assert participation_ratio(rng.normal(size=(20_000, 5))) == pytest.approx(5.0, rel=0.02)
    two = np.array([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    assert participation_ratio(two) == pytest.approx((9 + 1) ** 2 / (81 + 1))
    assert participation_ratio(np.pad(two, ((0, 0), (0, 9)))) == pytest.approx(100 / 82)
    assert participation_ratio(np.ones((4, 3))) is None


def test_anisotropy_is_the_mean_cosine_of_states_of_different_images():
    """Oracle: pair by pair; states of one image do not count."""
    rng = np.random.default_rng(9)
    states, images = rng.normal(size=(24, 6)) + 0.7, [f"image {i // 2}" for i in range(24)]
    units = states / np.linalg.norm(states, axis=1, keepdims=True)
    cosines = [units[i] @ units[j] for i in range(24) for j in range(24) if images[i] != images[j]]
    assert anisotropy(states, images).value == pytest.approx(np.mean(cosines))
