"""Measures how parallel directions are: cosines over all pairs, without building the N x N matrix."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan, sqrt
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vlmprobe.analysis.deltas import FloatArray

__all__ = ["PairwiseCosine", "cosine_of_gram", "mean_of_pairs", "pairwise_cosine", "std_of_pairs"]


@dataclass(frozen=True, slots=True)
class PairwiseCosine:
    """Mean and standard deviation (ddof 0) of the cosine over pairs i < j of n vectors; NaN for n < 2."""

    mean: float
    std: float
    n: int


def pairwise_cosine(units: FloatArray) -> PairwiseCosine:
    """Average the cosine over all pairs i < j of unit vectors.

    With sign-corrected units this is the coherence of an axis (arXiv 2605.30161, Eq. 2); with the units of
    one category it is the within-category consistency. In closed form::

        mean   = (|sum_i u_i|^2 - N) / (N (N - 1))
        mean^2 = (|G|_F^2 - N) / (N (N - 1)),   |G|_F = |U U^T|_F = |U^T U|_F

    of which the smaller Gram matrix is built.

    Args:
        units: (N, D) vectors of length 1, as ``unit`` returns them.
    """
    units = np.asarray(units, dtype=np.float64)
    n, dim = units.shape
    if n < 2:
        return PairwiseCosine(nan, nan, n)
    ordered_pairs = n * (n - 1)
    total = units.sum(axis=0)
    mean = (float(total @ total) - n) / ordered_pairs
    gram = units @ units.T if n <= dim else units.T @ units
    return PairwiseCosine(mean, std_of_pairs(mean * ordered_pairs, float(np.vdot(gram, gram)) - n, n), n)


def cosine_of_gram(gram: FloatArray) -> PairwiseCosine:
    """Average the cosine over all pairs i < j of n unit vectors, from their (n, n) products.

    Some of the vectors have the same rows and columns of them: one matrix serves all sets.
    """
    n = len(gram)
    if n < 2:
        return PairwiseCosine(nan, nan, n)
    total = float(gram.sum()) - n
    return PairwiseCosine(
        total / (n * (n - 1)), std_of_pairs(total, float(np.einsum("ij,ij->", gram, gram)) - n, n), n
    )


def mean_of_pairs(squared_norms: FloatArray, counts: FloatArray) -> FloatArray:
    """Average the cosine over the pairs i < j of several sets of unit vectors.

    Args:
        squared_norms: |sum u|^2 of each set, any shape.
        counts: how many vectors, of that shape.

    Returns:
        The means; NaN for fewer than two vectors.
    """
    pairs = counts * (counts - 1)
    means = np.full(pairs.shape, nan)
    np.divide(squared_norms - counts, pairs, out=means, where=pairs > 0)
    return means


def std_of_pairs(total: float, squares: float, n: int) -> float:
    """Compute the standard deviation (ddof 0) of the cosine over pairs from sums over all i and j, i != j.

    Args:
        total: of the cosines.
        squares: of their squares; of the same cosines, down to their rounding, or no digit of a small spread is left.
        n: how many unit vectors; NaN for n < 2, and 0 for the one pair of two.
    """
    if n < 2:
        return nan
    if n == 2:
        return 0.0
    ordered_pairs = n * (n - 1)
    return sqrt(max(squares / ordered_pairs - (total / ordered_pairs) ** 2, 0.0))
