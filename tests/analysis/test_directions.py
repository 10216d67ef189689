"""Sums over pairs of unit vectors, from products that are shared or in another shape: those of the N x N cosines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vlmprobe.analysis.coherence import std_of_pairs
from vlmprobe.analysis.directions import sums_over_pairs

seeds = st.integers(0, 2**32 - 1)
#: Vectors around a common direction, of which ``spread`` says how far: a tight bundle to none at all.
spreads = st.sampled_from([0.0, 1e-3, 0.03, 1.0, 100.0])
KINDS = ["free", "both ways", "one large dimension"]


def units(seed: int, n: int, dim: int, spread: float = 1.0, kind: str = "free") -> np.ndarray:
    """Draw unit vectors in float64."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=dim) + spread * rng.normal(size=(n, dim))
    if kind == "both ways":
        vectors *= rng.choice([-1.0, 1.0], size=(n, 1))
    if kind == "one large dimension":
        vectors[:, 0] *= 50.0
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def cut(seed: int, n: int) -> list[int]:
    """Cut n places into four groups, of which some may be empty."""
    return [0, *sorted(np.random.default_rng(seed).integers(0, n + 1, size=3).tolist()), n]


def brute_force(vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the cosines of the pairs i < j of some rows, in float64."""
    return (vectors[rows] @ vectors[rows].T)[np.triu_indices(len(rows), k=1)]


@settings(max_examples=60, deadline=None)
@example(2, 18, 2, 0.001, "both ways", True)  # two opposite vectors: one pair has no spread
@example(370, 7, 50, 0.0, "free", True)  # one vector seven times
@given(seeds, st.integers(2, 60), st.integers(2, 60), spreads, st.sampled_from(KINDS), st.booleans())
def test_the_spread_of_any_union_of_groups_is_that_of_its_cosines(seed, n, dim, spread, kind, is_single):
    """Oracle: all cosines in float64. More vectors than dimensions and fewer; tiny spreads too; float32 to 1e-6.

    Where all cosines are equal, or nearly, the square root of rounding is left of float64 as well.
    """
    exact = units(seed, n, dim, spread, kind)
    ends = cut(seed, n)

    sums, squares = sums_over_pairs(exact.astype(np.float32) if is_single else exact, ends)

    for chosen in ([0], [1, 3], [0, 1, 2, 3]):
        rows = np.concatenate([np.arange(ends[group], ends[group + 1]) for group in chosen])
        if len(rows) < 2:
            continue
        cosines = brute_force(exact, rows)
        inside = np.ix_(chosen, chosen)
        std = std_of_pairs(sums[inside].sum(), squares[inside].sum(), len(rows))
        assert std == pytest.approx(cosines.std(), abs=1e-6 if is_single else 1e-7)
        # Of vectors that are all alike every cosine has the same error: two roundings of a length, and the sum's own.
        assert sums[inside].sum() == pytest.approx(2 * cosines.sum(), abs=5e-7 * len(rows) ** 2)


@pytest.mark.parametrize(
    ("n", "spread"),
    [
        *((500, spread) for spread in (0.0, 0.001, 0.004, 1.0)),
        *((3000, spread) for spread in (0.001, 1.0)),
        *(pytest.param(3000, spread, marks=pytest.mark.full) for spread in (0.0, 0.004)),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_float32_keeps_the_spread_at_the_size_of_real_states(n, spread, kind):
    """1,024 dimensions, vectors nearly parallel or nearly opposite among them: 3e-7, for spreads from 1e-6 on."""
    exact = units(1, n, 1024, spread, kind)

    sums, squares = sums_over_pairs(exact.astype(np.float32), [0, n // 3, n // 2, n // 2, n])

    std = std_of_pairs(sums.sum(), squares.sum(), n)
    assert std == pytest.approx(brute_force(exact, np.arange(n)).std(), abs=3e-7)


def test_sums_around_the_means_are_exact_up_to_the_rounding_of_what_is_left():
    """In float64 they are the sums over all cosines, group for group, though no cosine is computed."""
    vectors = units(3, 200, 7)
    ends = [0, 60, 60, 130, 200]

    sums, squares = sums_over_pairs(vectors, ends)

    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, 0.0)
    for g in range(4):
        for h in range(4):
            block = cosines[ends[g] : ends[g + 1], ends[h] : ends[h + 1]]
            assert sums[g, h] == pytest.approx(block.sum(), abs=1e-9)
            assert squares[g, h] == pytest.approx((block**2).sum(), abs=1e-9)


def test_known_cosines_are_not_computed_again():
    """They are taken as they are."""
    vectors = units(4, 9, 20)
    cosines = vectors @ vectors.T

    for given_, expected in ((cosines, 72.0), (None, cosines.sum() - 9)):
        given_ = None if given_ is None else np.ones_like(given_)
        sums, squares = sums_over_pairs(vectors, [0, 4, 9], given_)
        assert sums.sum() == pytest.approx(expected)
        assert sums.shape == squares.shape == (2, 2)


@pytest.mark.parametrize("dim", [3, 40])
def test_a_zero_vector_adds_nothing(dim):
    """It has no direction: the sums are those of the others."""
    vectors = units(5, 20, dim)
    vectors[[0, 7]] = 0.0
    kept = np.delete(vectors, [0, 7], axis=0)

    with_zeros, without = sums_over_pairs(vectors, [0, 5, 20]), sums_over_pairs(kept, [0, 4, 18])

    for some, others in zip(with_zeros, without, strict=True):
        assert some == pytest.approx(others, abs=1e-10)
