"""Computes the sums behind one layer's metrics: lengths, ratios, and inner products between groups of deltas.

Sums are in float64. Products of many vectors, which the spread of cosines needs, are in the precision of the states:
float32 for what an extraction stores. That changes a standard deviation by some 1e-7.

Categories, axes and subsets are unions of groups (:mod:`groups`), whose sums are added.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.deltas import working_dtype
from vlmprobe.analysis.directions import sums_over_pairs
from vlmprobe.analysis.entanglement import grams_of_sums
from vlmprobe.analysis.groups import of_subset

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import BoolArray, FloatArray, IntArray
    from vlmprobe.analysis.groups import Groups
    from vlmprobe.pairs.axes import Subset

    #: In the precision of the states.
    Floats = npt.NDArray[np.float32 | np.float64]

__all__ = ["LayerSums", "LayerVectors"]

#: Numbers per float64 part of the deltas, few enough to stay in the CPU's cache.
_PART = 2**16
#: Groups of an axis: those of the canonical category, then those of its opposite.
_OF_AXIS = 4


@dataclass(frozen=True, slots=True)
class LayerSums:
    """Sums of one layer, (C, 2) over groups unless said otherwise."""

    n: FloatArray
    """Pairs."""
    lengths: FloatArray
    """sum |delta|."""
    n_directed: FloatArray
    """Deltas that are not zero."""
    n_based: FloatArray
    """Pairs whose original state is not zero."""
    ratios: FloatArray
    """sum |delta| / |h(orig)| over those."""
    directions: FloatArray
    """(K, 4, 4) per axis, inner products of the groups' sums of sign-corrected unit vectors: the canonical category's
    groups, then its opposite's."""
    grams: FloatArray
    """(S, C + K, C + K) per subset, inner products of the sums of deltas of the categories and, sign-corrected, of the
    axes."""


class LayerVectors:
    """One layer's deltas, group after group: their lengths, their directions and the sums of both."""

    def __init__(
        self,
        orig: npt.NDArray[Any],
        swap: npt.NDArray[Any],
        order: IntArray,
        groups: Groups,
        subsets: Sequence[Subset],
    ) -> None:
        """Compute lengths, directions and sums in one pass over the states.

        Args:
            orig: (N, D) states of the original questions.
            swap: (N, D) states of the swapped questions.
            order: (N,) numbers of the pairs, group after group.
            groups: of the pairs in that order, which is the order of all arrays from here on.
            subsets: of which ``grams`` are wanted.
        """
        n, dim = orig.shape
        self._n_categories = groups.n_categories
        self._n_groups, self._n_axes = 2 * groups.n_categories, groups.n_categories // 2
        self._ends, self._subsets = groups.ends(), tuple(subsets)
        self.lengths: FloatArray = np.empty(n)
        norms = np.empty(n)
        self._units: Floats = np.empty((n, dim), dtype=working_dtype(orig))
        #: Of each group the sum of its deltas and of its sign-corrected unit vectors.
        self._totals = np.zeros((self._n_groups, 2, dim))
        step = max(1, _PART // max(dim, 1))
        parts = np.empty((2, min(step, n), dim))
        for group, (begin, end) in enumerate(pairwise(self._ends)):
            for start in range(begin, end, step):
                rows = slice(start, min(start + step, end))
                before, deltas = parts[:, : rows.stop - start]
                before[:], deltas[:] = orig[order[rows]], swap[order[rows]]
                # Two bf16 or fp16 states are close together: a difference in their own dtype would be rounding.
                deltas -= before
                lengths = np.sqrt(np.einsum("ij,ij->i", deltas, deltas))
                norms[rows] = np.einsum("ij,ij->i", before, before)
                self.lengths[rows] = lengths
                inverse = np.divide(_sign(group), lengths, out=np.zeros_like(lengths), where=lengths > 0)
                self._totals[group] += np.stack([np.ones_like(inverse), inverse]) @ deltas
                np.multiply(deltas, inverse[:, None], out=self._units[rows], casting="same_kind")
        self._cosines: dict[int, Floats | None] = {}
        self.directed: BoolArray = self.lengths > 0
        # |delta| / 0 is no ratio: such a pair is left out of the sum and of its count.
        self.based: BoolArray = norms > 0
        self.ratios: FloatArray = np.divide(
            self.lengths, np.sqrt(norms), out=np.zeros_like(self.lengths), where=self.based
        )

    def _columns(self) -> FloatArray:
        return np.stack(
            [np.ones_like(self.lengths), self.lengths, self.directed, self.based, self.ratios], axis=1
        )

    def units_of_axis(self, axis: int) -> Floats:
        """Return the (n, D) sign-corrected directions of an axis's pairs, in their order."""
        return self._units[self._rows_of_axis(axis)]

    def cosines_of_axis(self, axis: int) -> Floats | None:
        """Return their (n, n) products; None where there are more pairs than dimensions, and they would cost more."""
        if axis not in self._cosines:
            units = self.units_of_axis(axis)
            self._cosines[axis] = units @ units.T if len(units) <= units.shape[1] else None
        return self._cosines[axis]

    def sums_over_pairs(self) -> tuple[FloatArray, FloatArray]:
        """Return (K, 4, 4) sums of the cosines between the groups of each axis, and of their squares."""
        found = []
        for axis in range(self._n_axes):
            ends = self._ends[_OF_AXIS * axis : _OF_AXIS * (axis + 1) + 1]
            places = [end - ends[0] for end in ends]
            found.append(sums_over_pairs(self.units_of_axis(axis), places, self.cosines_of_axis(axis)))
        sums, squares = zip(*found, strict=True)
        return np.stack(sums), np.stack(squares)

    def sums(self) -> LayerSums:
        """Add up the groups."""
        columns = self._columns()
        added = np.stack([columns[rows].sum(axis=0) for rows in self._group_rows()])
        counts, lengths, directed, based, ratios = added.T.reshape(5, self._n_categories, 2)
        of_axes = self._totals[:, 1].reshape(self._n_axes, _OF_AXIS, -1)
        sums = self._totals[:, 0].reshape(self._n_categories, 2, -1).swapaxes(-1, -2)
        grams = np.stack([grams_of_sums(of_subset(sums, subset)) for subset in self._subsets])
        return LayerSums(counts, lengths, directed, based, ratios, of_axes @ of_axes.swapaxes(-1, -2), grams)

    def _rows_of_axis(self, axis: int) -> slice:
        return slice(self._ends[_OF_AXIS * axis], self._ends[_OF_AXIS * (axis + 1)])

    def _group_rows(self) -> list[slice]:
        return [slice(begin, end) for begin, end in pairwise(self._ends)]


def _sign(group: int) -> float:
    """Return the sign of a group's deltas; the groups of the canonical category come before its opposite's."""
    return 1.0 if group % _OF_AXIS < _OF_AXIS // 2 else -1.0
