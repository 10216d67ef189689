from __future__ import annotations

import tracemalloc
from math import isnan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity

from vlmprobe.analysis import pairwise_cosine, unit
from vlmprobe.analysis.coherence import cosine_of_gram, mean_of_pairs

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(2, 12)


def some_vectors(seed, n, dim):
    """Vectors with something in common, of lengths that differ by orders of magnitude."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, dim)) + rng.normal(size=dim)) * 10 ** rng.uniform(-3, 3, size=(n, 1))


def mean_cosine(vectors):
    """Go from vectors of any length to their mean pairwise cosine."""
    return pairwise_cosine(unit(vectors)[0]).mean


@settings(max_examples=40, deadline=None)
@given(seeds, sizes, sizes)
def test_mean_and_std_are_those_of_the_upper_triangle_of_the_cosine_matrix(seed, n, dim):
    """Oracle: the N x N matrix, of which either Gram matrix (N <= D or N > D) is a short cut."""
    vectors = some_vectors(seed, n, dim)

    result = pairwise_cosine(unit(vectors)[0])

    upper = cosine_similarity(vectors)[np.triu_indices(n, k=1)]
    assert result.mean == pytest.approx(upper.mean(), abs=1e-12)
    # The square root of a difference: half of the digits where the spread is close to none.
    assert result.std == pytest.approx(upper.std(), abs=1e-7)
    assert result.n == n


@settings(max_examples=40, deadline=None)
@given(seeds, sizes, sizes)
def test_coherence_ignores_rotation_length_common_sign_and_order(seed, n, dim):
    """Only the angles between the deltas count."""
    vectors, rng = some_vectors(seed, n, dim), np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
    lengths = rng.uniform(0.1, 10, size=(n, 1))

    expected = pytest.approx(mean_cosine(vectors), abs=1e-12)

    assert mean_cosine(vectors @ rotation) == expected
    assert mean_cosine(vectors * lengths) == expected
    assert mean_cosine(-vectors) == expected
    assert mean_cosine(rng.permutation(vectors)) == expected


@settings(max_examples=40, deadline=None)
@given(seeds, sizes, sizes)
def test_coherence_lies_between_its_bounds(seed, n, dim):
    """A mean cosine is at most 1, and n vectors repel each other by no more than -1/(n - 1)."""
    assert -1 / (n - 1) - 1e-12 <= mean_cosine(some_vectors(seed, n, dim)) <= 1 + 1e-12


@pytest.mark.parametrize(
    ("vectors", "mean", "std"),
    [
        ([[3.0, 4.0]] * 3, 1.0, 0.0),
        ([[1.0, 0.0], [-2.0, 0.0]], -1.0, 0.0),
        ([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], 1 / 3, np.sqrt(2) / 3),
    ],
    ids=["identical", "opposite", "one of three at a right angle"],
)
def test_known_angles(vectors, mean, std):
    """Sets of which mean and spread can be seen with the naked eye."""
    result = pairwise_cosine(unit(np.array(vectors))[0])

    assert result.mean == pytest.approx(mean)
    assert result.std == pytest.approx(std, abs=1e-7)


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_vectors_have_no_pair(n):
    """No pair, no number: NaN, and the count of vectors."""
    result = pairwise_cosine(np.ones((n, 1)))

    assert isnan(result.mean)
    assert isnan(result.std)
    assert result.n == n


@pytest.mark.parametrize("shape", [(20_000, 2), (2, 20_000)], ids=["many vectors", "many dimensions"])
def test_no_large_matrix_is_built(shape):
    """Of the two Gram matrices the 2 x 2 one is taken, not the one of 3.2 GB."""
    units = np.full(shape, shape[1] ** -0.5)

    tracemalloc.start()
    result = pairwise_cosine(units)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert result.mean == pytest.approx(1.0)
    assert peak < 2**20


def test_means_of_several_sets_are_those_of_each():
    """One formula for one set and for many; a set of fewer than two vectors has none."""
    sets = [unit(some_vectors(seed, n, 4))[0] for seed, n in ((0, 7), (1, 2), (2, 1))]

    norms = np.array([np.square(units.sum(axis=0)).sum() for units in sets])
    means = mean_of_pairs(norms, np.array([7.0, 2.0, 1.0]))

    expected = [pairwise_cosine(units).mean for units in sets]
    assert means == pytest.approx(expected, abs=1e-15, nan_ok=True)


@settings(max_examples=10, deadline=None)
@given(seeds, st.integers(0, 12))
def test_some_vectors_have_their_rows_and_columns_of_all_products(seed, n):
    """So that the products of all serve each subset."""
    units = unit(some_vectors(seed, 12, 5))[0]
    expected, found = pairwise_cosine(units[:n]), cosine_of_gram((units @ units.T)[:n, :n])
    assert found.n == n
    assert found.mean == pytest.approx(expected.mean, abs=1e-12, nan_ok=True)
    assert found.std == pytest.approx(expected.std, abs=1e-6, nan_ok=True)
