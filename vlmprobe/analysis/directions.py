"""Unit vectors in groups: every cosine that a union of groups needs, from one Gram matrix for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.analysis.deltas import FloatArray

__all__ = ["Directions"]


class Directions:
    """The sign-corrected unit vectors of one axis, in k groups.

    Both questions about a set of vectors are sums over pairs of its groups, so whatever is asked of each subset of
    the groups takes one product. Below D vectors this is the N x N matrix of cosines; from there on it is the
    D x D matrices U^T U and the sums themselves, so that time and memory grow with N, not with its square.
    """

    def __init__(self, units: Sequence[FloatArray]) -> None:
        """Build the Gram matrix, if one is the shorter way.

        Args:
            units: k arrays (n_g, D) of vectors of length 1; a zero row adds nothing to any sum.
        """
        self._k = len(units)
        self._ends = np.cumsum([0] + [len(members) for members in units])
        self._units: Sequence[FloatArray] = units
        self._cosines: FloatArray | None = None
        if self._ends[-1] <= units[0].shape[1]:
            stacked = np.concatenate(units)
            self._units, self._cosines = (), stacked @ stacked.T

    def _block(self, cosines: FloatArray, first: int, second: int) -> FloatArray:
        rows, columns = (slice(*self._ends[group : group + 2]) for group in (first, second))
        return cosines[rows, columns]

    def squares(self) -> FloatArray:
        """Sum the squared cosines between each two groups, a vector with itself included.

        Returns:
            (k, k): |U_g U_h^T|_F^2 = <U_g^T U_g, U_h^T U_h>.
        """
        k = self._k
        if self._cosines is None:
            dim = self._units[0].shape[1]
            grams = np.empty((k, dim, dim))
            for place, units in enumerate(self._units):
                np.matmul(units.T, units, out=grams[place])
            flat = grams.reshape(k, -1)
            return np.asarray(flat @ flat.T)
        found = np.zeros((k, k))
        for first in range(k):
            for second in range(first, k):
                block = self._block(self._cosines, first, second)
                found[first, second] = found[second, first] = np.einsum("ij,ij->", block, block)
        return found

    def inner_products(self, weights: Sequence[FloatArray]) -> FloatArray:
        """Take the inner products of the groups' weighted sums.

        Args:
            weights: k arrays (R, n_g): how often each vector occurs in each of R resamples.

        Returns:
            (R, k, k): entry g, h is (sum_i w_i u_i) . (sum_j w_j u_j), i in g and j in h.
        """
        k = self._k
        found = np.zeros((len(weights[0]), k, k))
        sums = []
        if self._cosines is None:
            sums = [drawn @ units for drawn, units in zip(weights, self._units, strict=True)]
        for first in range(k):
            for second in range(first, k):
                if self._cosines is None:
                    left, right = sums[first], sums[second]
                else:
                    left = weights[first] @ self._block(self._cosines, first, second)
                    right = weights[second]
                found[:, first, second] = found[:, second, first] = np.einsum("ij,ij->i", left, right)
        return found
