"""Sums of cosines between groups of unit vectors, from products that all unions of groups share.

The products are in the precision of the units. In float32 a cosine is off by some 1e-7, and so is a standard
deviation of cosines at most (it is a norm, and obeys the triangle inequality), as long as no digits cancel: where
single cosines cannot be looked at, sums of squares are taken around the groups' means.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import FloatArray

    Floats = npt.NDArray[np.float32 | np.float64]

__all__ = ["sums_over_pairs"]

#: Numbers converted to float64 at a time, few enough to stay in the CPU's cache.
_CHUNK = 2**17
#: Rows per block of a symmetric matrix; only blocks on and above the diagonal are computed.
_BLOCK = 256


def sums_over_pairs(
    units: Floats, ends: Sequence[int], cosines: Floats | None = None
) -> tuple[FloatArray, FloatArray]:
    """Sum the cosines and their squares over the vectors of every two groups; no vector pairs with itself.

    Up to D vectors this takes their N x N cosines; beyond, one D x D matrix a group, so that time grows with N, not
    with its square.

    Args:
        units: (N, D) vectors of length 1, group after group; a zero row adds nothing to any sum.
        ends: k + 1 places from 0 to N: where each group begins, and where the last one ends.
        cosines: (N, N) products of the vectors with one another, if they are known.

    Returns:
        (k, k) sums and (k, k) sums of squares over i in g and j in h, i != j.
    """
    if cosines is None and len(units) <= units.shape[1]:
        cosines = units @ units.T
    if cosines is not None:
        return _of_cosines(cosines, ends)
    return _around_means([units[begin:end] for begin, end in pairwise(ends)])


def _of_cosines(cosines: Floats, ends: Sequence[int]) -> tuple[FloatArray, FloatArray]:
    k = len(ends) - 1
    members = np.zeros((len(cosines), k))
    for group in range(k):
        members[ends[group] : ends[group + 1], group] = 1.0
    sums, squares = np.zeros((2, k, k))
    rows_at_a_time = max(1, _CHUNK // max(len(cosines), 1))
    for group in range(k):
        for start in range(ends[group], ends[group + 1], rows_at_a_time):
            rows = slice(start, min(start + rows_at_a_time, ends[group + 1]))
            part = cosines[rows].astype(np.float64)
            part[np.arange(len(part)), np.arange(rows.start, rows.stop)] = 0.0
            sums[group] += part.sum(axis=0) @ members
            squares[group] += np.einsum("ij,ij->j", part, part) @ members
    return sums, squares


def _around_means(groups: Sequence[Floats]) -> tuple[FloatArray, FloatArray]:
    """Sum over pairs without their N x N cosines.

    With u_i = m_g + r_i and sum_i r_i = 0 in each group, all mixed terms of the squares vanish::

        sum_ij (u_i . u_j)^2 = n_g n_h (m_g . m_h)^2 + n_g sum_j (m_g . r_j)^2 + n_h sum_i (m_h . r_i)^2
                               + <R_g^T R_g, R_h^T R_h>

    Unlike |U_g U_h^T|_F^2 this loses no digits to the mean, which is taken from it again for a variance: what is in
    less than float64 is as small as the vectors are close to each other.
    """
    k, dim = len(groups), groups[0].shape[1]
    counts = np.array([len(units) for units in groups], dtype=np.float64)
    means = np.zeros((k, dim))
    along = np.zeros((k, k))  # sum_j (m_g . r_j)^2, j in h
    own, own_squares = np.zeros((2, k))  # of a vector with itself
    rests = []
    for group, units in enumerate(groups):
        for rows in _row_chunks(units):
            part = units[rows].astype(np.float64)
            means[group] += part.sum(axis=0)
            lengths = np.einsum("ij,ij->i", part, part)
            own[group] += lengths.sum()
            own_squares[group] += lengths @ lengths
        means[group] /= max(len(units), 1)
        rest = np.empty_like(units)
        for rows in _row_chunks(units):
            np.subtract(units[rows], means[group], out=rest[rows], dtype=np.float64, casting="same_kind")
        rests.append(rest)
    for group, rest in enumerate(rests):
        along[:, group] = np.square((rest @ means.T.astype(rest.dtype)).astype(np.float64)).sum(axis=0)
    inner = means @ means.T
    pairs = np.outer(counts, counts)
    squares = (
        pairs * inner**2 + counts[:, None] * along + (counts[:, None] * along).T + _inner_products(rests)
    )
    return pairs * inner - np.diag(own), squares - np.diag(own_squares)


def _inner_products(rests: Sequence[Floats]) -> FloatArray:
    """Return the (k, k) sums over all elements of R_g^T R_g times R_h^T R_h, added up in float64.

    The D x D products are symmetric. Some rows of all of them are there at a time, from the diagonal on.
    """
    k, dim = len(rests), rests[0].shape[1]
    found = np.zeros((k, k))
    step = max(1, _CHUNK // (k * dim))
    for start in range(0, dim, _BLOCK):
        end = min(start + _BLOCK, dim)
        on_diagonal = np.stack([rest[:, start:end].T @ rest[:, start:end] for rest in rests])
        beyond = np.stack([rest[:, start:end].T @ rest[:, end:] for rest in rests])
        for row in range(0, end - start, step):
            for products, times in ((on_diagonal, 1.0), (beyond, 2.0)):
                part = products[:, row : row + step].reshape(k, -1).astype(np.float64)
                found += times * (part @ part.T)
    return found


def _row_chunks(vectors: Floats) -> list[slice]:
    step = max(1, _CHUNK // vectors.shape[1])
    return [slice(start, start + step) for start in range(0, len(vectors), step)]
