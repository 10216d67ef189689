"""Object-disjoint readings: what comes back with an object is no axis, and pairs that share one are not independent."""

from __future__ import annotations

import numpy as np
import pytest

from vlmprobe.analysis.controls import DisjointPairs
from vlmprobe.analysis.controls.disjoint import NO_INTERVAL, TOO_FEW_OBJECTS
from vlmprobe.analysis.controls.probe import NO_NAMES
from vlmprobe.analysis.geometry import Layout, balanced_coherence, sums_of_vectors
from vlmprobe.analysis.geometry.estimates import TOO_FEW_IMAGES

PAIRS, DIM = 60, 12


def drawn(seed, *, names=30, axis=0.0, objects=0.0, pairs=PAIRS, an_image=1):
    """Draw sign-bearing deltas with an axis and with what is of each object; canonical, images and names."""
    rng = np.random.default_rng(seed)
    canonical = rng.permutation(np.arange(pairs) < pairs // 2)
    ends = np.array([rng.choice(names, 2, replace=False) for _ in range(pairs)])
    own = objects * rng.normal(size=(names, DIM)) / np.sqrt(DIM)
    along = axis * np.eye(DIM)[0] + own[ends].sum(axis=1)
    deltas = np.where(canonical, 1.0, -1.0)[:, None] * along + rng.normal(size=(pairs, DIM)) / np.sqrt(DIM)
    images = [f"image {place // an_image}" for place in range(pairs)]
    return deltas, canonical, images, [(str(one), str(other)) for one, other in ends]


def by_hand(deltas, canonical, images, objects):
    """Return <alpha, alpha> of directions, product by product."""
    units = deltas / np.linalg.norm(deltas, axis=1, keepdims=True)
    sums, counts = np.zeros((2, 2)), np.zeros((2, 2))
    for i in range(len(units)):
        for j in range(len(units)):
            if images[i] != images[j] and not set(objects[i]) & set(objects[j]):
                place = int(not canonical[i]), int(not canonical[j])
                sums[place] += units[i] @ units[j]
                counts[place] += 1
    p = sums / counts
    return (p[0, 0] + p[1, 1] - p[0, 1] - p[1, 0]) / 4


def test_it_is_the_mean_of_the_products_that_share_nothing():
    """Product by product; a pair's own image counts as well as its objects; rows of NaN and of zeros are left out."""
    deltas, canonical, images, objects = drawn(1, axis=1.0, an_image=2, names=40)
    found = DisjointPairs(canonical, images, objects).coherence(deltas)
    assert found.value == pytest.approx(by_hand(deltas, canonical, images, objects))
    assert found.n_images == PAIRS // 2
    more = np.concatenate([deltas, np.full((1, DIM), np.nan), np.zeros((1, DIM))])
    with_more = DisjointPairs(
        [*canonical, True, False], [*images, "x", "y"], [*objects, ("a", "b"), ("c", "d")]
    ).coherence(more)
    assert (with_more.value, with_more.ci_low) == pytest.approx((found.value, found.ci_low))


def test_the_cosine_of_an_axis_and_nearly_itself_is_one():
    """And with its opposite minus one; both from the products of pairs that share nothing."""
    deltas, canonical, images, objects = drawn(2, axis=0.6)
    pairs, noise = (
        DisjointPairs(canonical, images, objects),
        np.random.default_rng(7).normal(size=(PAIRS, DIM)),
    )
    for size in (1, -3):
        found = pairs.cosine(deltas, size * (deltas + 0.02 * noise))
        assert found.value == pytest.approx(np.sign(size), abs=0.05)
        assert (found.ci_low, found.reason) == (None, NO_INTERVAL)


def test_what_is_of_the_objects_is_no_axis():
    """The ordinary coherence takes it for one in most studies; object-disjoint, the interval holds 0."""
    ordinary, disjoint = 0, 0
    for seed in range(40):
        deltas, canonical, images, objects = drawn(seed, objects=1.0)
        layout = Layout((~canonical).astype(int), images, 2)
        ordinary += (
            balanced_coherence(sums_of_vectors(deltas, layout).units.products(), 0).estimate().is_resolved
        )
        disjoint += DisjointPairs(canonical, images, objects).coherence(deltas).is_resolved
    assert ordinary >= 20
    assert disjoint <= 2


def test_pairs_that_share_an_object_are_not_independent():
    """The interval is wider than that of as many pairs about objects of their own."""
    deltas, canonical, images, objects = drawn(3, objects=1.0, axis=1.0)
    alone = [(f"{place} a", f"{place} b") for place in range(PAIRS)]
    shared, independent = (
        DisjointPairs(canonical, images, names).coherence(deltas) for names in (objects, alone)
    )
    assert shared.se is not None
    assert independent.se is not None
    assert shared.se > 1.5 * independent.se


def test_what_cannot_be_told_has_a_reason():
    """Without names, with too few images, and where a handful of objects are in all pairs."""
    deltas, canonical, images, objects = drawn(4, axis=1.0)
    nameless = DisjointPairs(canonical, images, None).coherence(deltas)
    assert (nameless.value, nameless.reason) == (None, NO_NAMES)
    few = DisjointPairs(canonical, ["one"] * PAIRS, objects).coherence(deltas)
    assert (few.value, few.reason) == (None, TOO_FEW_IMAGES)
    crowded = drawn(5, axis=1.0, names=5)
    found = DisjointPairs(*crowded[1:]).coherence(crowded[0])
    assert (found.value, found.reason) == (None, TOO_FEW_OBJECTS)
    with pytest.raises(ValueError, match="every pair needs"):
        DisjointPairs(canonical, images, objects[:-1])
