"""Distance pairs by perspective: coherence of the halves, and whether they share a direction."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity

from vlmprobe.analysis import perspective_metrics
from vlmprobe.analysis.inference import Scale, Statistic
from vlmprobe.analysis.perspective_axes import PerspectiveAxes

COHERENCE = "axis_coherence.perspective"
TARGETS = ["distance/consistent", "distance/counter", "consistent/counter"]


def by_target(metrics, subset="all"):
    """Look one subset's metrics up by target."""
    return {metric.target: metric for metric in metrics if metric.subset == subset}


def random_pairs(seed, n=12, dim=4):
    """Make n distance pairs of all perspectives, two about each image."""
    rng = np.random.default_rng(seed)
    categories = rng.choice(["far", "close"], n).tolist()
    perspectives = (["consistent", "counter"] * 2 + ["consistent", "counter", "ambiguous", None]) * n
    return rng.normal(size=(n, dim)), categories, perspectives[:n], [f"image {i // 2}" for i in range(n)]


def test_halves_that_point_opposite_ways_are_coherent_each_and_opposed():
    """The counter pairs' deltas, sign-corrected, are the negatives of the consistent ones'."""
    deltas = np.array([[1.0, 0.0], [-2.0, 0.0], [-1.0, 0.0], [3.0, 0.0]])

    found = by_target(
        perspective_metrics(
            deltas,
            ["far", "close", "far", "close"],
            ["consistent", "consistent", "counter", "counter"],
            ["a", "b", "c", "d"],
            layer=5,
        )
    )

    assert [(found[target].value, found[target].n) for target in TARGETS] == [(1.0, 2), (1.0, 2), (-1.0, 4)]
    assert {metric.name for metric in found.values()} == {COHERENCE, "perspective_cosine"}
    assert {metric.layer for metric in found.values()} == {5}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_values_are_those_of_the_definitions(seed):
    """The oracle takes cosines pair by pair."""
    deltas, categories, perspectives, images = random_pairs(seed)

    found = by_target(perspective_metrics(deltas, categories, perspectives, images, layer=0))

    signed = deltas * np.array([[1.0] if name == "far" else [-1.0] for name in categories])
    halves = [np.array([p == half for p in perspectives]) for half in ("consistent", "counter")]
    for target, rows in zip(TARGETS[:2], halves, strict=True):
        cosines = cosine_similarity(signed[rows])[np.triu_indices(rows.sum(), 1)]
        assert found[target].value == pytest.approx(cosines.mean(), abs=1e-12)
        assert found[target].std == pytest.approx(cosines.std(), abs=1e-7)
        assert found[target].n == rows.sum()
    metric = found[TARGETS[2]]
    assert metric.value == pytest.approx(
        cosine_similarity(*(signed[rows].mean(axis=0)[None] for rows in halves))[0, 0], abs=1e-12
    )
    assert (metric.ci_low, metric.ci_high, metric.method) == (None, None, "not-covering")


def test_ambiguous_pairs_and_pairs_without_boxes_do_not_count():
    """Leaving them out of the input changes no estimate."""
    deltas, categories, perspectives, images = random_pairs(0)
    kept = [i for i, name in enumerate(perspectives) if name in ("consistent", "counter")]

    metrics = perspective_metrics(deltas, categories, perspectives, images, layer=0)

    assert len(kept) < 12
    assert metrics == perspective_metrics(
        deltas[kept],
        *([column[i] for i in kept] for column in (categories, perspectives, images)),
        layer=0,
    )


def test_a_half_without_pairs_is_nan_and_so_is_the_comparison():
    """In subset both_correct no counter pair is left: its n is 0, that of the cosine too."""
    deltas, categories, perspectives, images = random_pairs(1)
    right = np.array([name == "consistent" for name in perspectives])

    found = by_target(
        perspective_metrics(deltas, categories, perspectives, images, layer=0, both_correct=right),
        "both_correct",
    )

    assert np.isfinite(found["distance/consistent"].value)
    for target in TARGETS[1:]:
        assert isnan(found[target].value)
        assert found[target].ci_low is None or isnan(found[target].ci_low)
        assert found[target].n == 0


def test_the_interval_is_that_of_the_half_as_an_axis_of_its_own():
    """Oracle: all cosines of a half, and the same without each image in turn."""
    rng = np.random.default_rng(2)
    n = 60
    categories, images = rng.choice(["far", "close"], n).tolist(), [str(i) for i in range(n)]
    perspectives = ["consistent", "counter"] * (n // 2)
    signs = np.array([[1.0] if name == "far" else [-1.0] for name in categories])
    deltas = signs * np.ones(6) + rng.normal(size=(n, 6))
    halves = PerspectiveAxes(categories, perspectives, images)(np.zeros_like(deltas), deltas, layer=0)

    given = {"layer": 0, "coherence": halves.coherence}
    found = by_target(perspective_metrics(deltas, categories, perspectives, images, **given))

    cosines = cosine_similarity((deltas * signs)[::2])
    np.fill_diagonal(cosines, 0.0)
    size = len(cosines)
    without = [np.delete(np.delete(cosines, i, 0), i, 1).sum() / (size - 1) / (size - 2) for i in range(size)]
    expected = Statistic(
        value=cosines.sum() / size / (size - 1),
        leave_outs=np.array(without),
        members=np.ones(size, dtype=bool),
        n_images=size,
        scale=Scale.BELOW_ONE,
    ).estimate()
    metric = found["distance/consistent"]
    assert metric.value == pytest.approx(expected.value, abs=1e-12)
    assert (metric.ci_low, metric.ci_high) == pytest.approx((expected.ci_low, expected.ci_high), abs=1e-10)
    assert metric.method == "jackknife"


def test_a_half_of_which_an_image_has_several_pairs_has_no_interval():
    """Pairs of one image inflate a mean cosine."""
    deltas, categories, perspectives, _ = random_pairs(2, n=48)
    halves = PerspectiveAxes(categories, perspectives, [f"{i // 12}" for i in range(48)])
    coherence = halves(np.zeros_like(deltas), deltas, layer=0).coherence

    given = {"layer": 0, "coherence": coherence}
    found = by_target(perspective_metrics(deltas, categories, perspectives, ["one"] * 48, **given))

    assert [found[target].ci_low for target in TARGETS] == [None] * 3
    assert {found[target].method for target in TARGETS} == {"not-covering"}


def test_what_does_not_fit_is_refused():
    """A pair of another axis, a perspective that is none, a state that is no number."""
    deltas, categories, perspectives, images = random_pairs(0, n=2)
    with pytest.raises(ValueError, match=r"only distance pairs \(far, close\) have a perspective, not left"):
        perspective_metrics(deltas, ["left", "far"], perspectives, images, layer=0)
    with pytest.raises(ValueError, match="unknown perspective odd; known: consistent"):
        perspective_metrics(deltas, categories, ["odd", None], images, layer=0)
    with pytest.raises(ValueError, match="layer 3: 2 of 2 pairs"):
        perspective_metrics(deltas * np.nan, categories, perspectives, images, layer=3)
    with pytest.raises(ValueError, match="2 pairs need 2 images, got 1"):
        perspective_metrics(deltas, categories, perspectives, images[1:], layer=0)
