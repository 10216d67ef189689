"""Computes the sums behind one layer's metrics, for the data and for every bootstrap resample.

Sums over the data are in float64. Products of many vectors, which the spread of cosines and the resamples need, are in
the precision of the states: float32 for what an extraction stores. That changes a standard deviation by some 1e-7 and
a bound of an interval by less than 1e-5, which the number of resamples leaves open by far more.

A resample costs one product of its weights with the cosines or, beyond D pairs, with the vectors: categories, axes and
subsets are unions of groups (:mod:`groups`), whose sums are added.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.deltas import working_dtype
from vlmprobe.analysis.directions import sums_over_pairs
from vlmprobe.analysis.groups import of_subset
from vlmprobe.analysis.resampling import grams_of_signed, grams_of_sums
from vlmprobe.pairs.axes import Subset

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import BoolArray, FloatArray, IntArray
    from vlmprobe.analysis.groups import Groups

    #: In the precision of the states.
    Floats = npt.NDArray[np.float32 | np.float64]

__all__ = ["LayerSums", "LayerVectors"]

#: Resamples whose sums are held at a time: 24 sums of 2,048 float32 each, 25 MB.
_CHUNK = 128
#: Numbers per float64 part of the deltas, few enough to stay in the CPU's cache.
_PART = 2**15
#: Groups of an axis: those of the canonical category, then those of its opposite.
_OF_AXIS = 4


@dataclass(frozen=True, slots=True)
class LayerSums:
    """Weighted sums for R resamples, (R, C, 2) over groups unless said otherwise."""

    drawn: FloatArray
    """sum w."""
    lengths: FloatArray
    """sum w |delta|."""
    directed: FloatArray
    """sum w over the deltas that are not zero."""
    directed_squares: FloatArray
    """sum w^2 over the deltas that are not zero."""
    based: FloatArray
    """sum w over the pairs whose original state is not zero."""
    ratios: FloatArray
    """sum w |delta| / |h(orig)| over those."""
    directions: FloatArray
    """(R, K, 4, 4) per axis, inner products of the groups' sums of sign-corrected unit vectors: the canonical
    category's groups, then its opposite's."""
    grams: FloatArray
    """(S, R, C + K, C + K) per subset, inner products of the sums of deltas of the categories and, sign-corrected,
    of the axes."""


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
        self.directed: BoolArray = self.lengths > 0
        # |delta| / 0 is no ratio: such a pair is left out of the sum and of its count.
        self.based: BoolArray = norms > 0
        self.ratios: FloatArray = np.divide(
            self.lengths, np.sqrt(norms), out=np.zeros_like(self.lengths), where=self.based
        )
        #: (N, N), without those below the axes' diagonal blocks; None until needed, and always for N > D.
        self._cosines: Floats | None = None

    def _columns(self) -> FloatArray:
        return np.stack(
            [np.ones_like(self.lengths), self.lengths, self.directed, self.based, self.ratios], axis=1
        )

    def sums_over_pairs(self) -> tuple[FloatArray, FloatArray]:
        """Return (K, 4, 4) sums of the cosines between the groups of each axis, and of their squares."""
        found = []
        for axis in range(self._n_axes):
            ends = self._ends[_OF_AXIS * axis : _OF_AXIS * (axis + 1) + 1]
            inside = slice(ends[0], ends[-1])
            known = None if self._cosines is None else self._cosines[inside, inside]
            found.append(sums_over_pairs(self._units[inside], [end - ends[0] for end in ends], known))
        sums, squares = zip(*found, strict=True)
        return np.stack(sums), np.stack(squares)

    def _multiply_axes(self) -> None:
        """Multiply all vectors with those of their own and the following axes, if that is faster."""
        n, dim = self._units.shape
        if n > dim:
            return
        self._cosines = np.empty((n, n), dtype=self._units.dtype)
        for axis in range(self._n_axes):
            begin, end = self._ends[_OF_AXIS * axis], self._ends[_OF_AXIS * (axis + 1)]
            mine = self._units[begin:end]
            np.matmul(mine, mine.T, out=self._cosines[begin:end, begin:end])
            np.matmul(mine, self._units[end:].T, out=self._cosines[begin:end, end:])

    def sums(self, weights: npt.NDArray[Any]) -> LayerSums:
        """Add up the data, which is the first row, and every resample after it.

        The data is summed alone, so estimates depend neither on the number of resamples nor on precision.

        Args:
            weights: (B, N) multiplicities.

        Returns:
            Sums for R = 1 + B.
        """
        if len(weights):
            self._multiply_axes()
        columns = self._columns()
        parts = [self._of_data(columns)]
        for start in range(0, len(weights), _CHUNK):
            parts.append(self._of_resamples(columns, weights[start : start + _CHUNK]))
        joined = {
            field.name: np.concatenate(
                [getattr(part, field.name) for part in parts], axis=1 if field.name == "grams" else 0
            )
            for field in fields(LayerSums)
        }
        return LayerSums(**joined)

    def _of_data(self, columns: FloatArray) -> LayerSums:
        added = np.stack([columns[rows].sum(axis=0) for rows in self._group_rows()])
        counts, lengths, directed, based, ratios = added.T.reshape(5, 1, self._n_categories, 2)
        of_axes = self._totals[:, 1].reshape(1, self._n_axes, _OF_AXIS, -1)
        sums = self._totals[:, 0].reshape(1, self._n_categories, 2, -1).swapaxes(-1, -2)
        grams = np.stack([grams_of_sums(of_subset(sums, subset)) for subset in self._subsets])
        directions = of_axes @ of_axes.swapaxes(-1, -2)
        return LayerSums(counts, lengths, directed, directed.copy(), based, ratios, directions, grams)

    def _of_resamples(self, columns: FloatArray, weights: npt.NDArray[Any]) -> LayerSums:
        drawn = weights.astype(self._units.dtype)
        # A sum of deltas is one of sign-corrected directions, each as long as its delta.
        stretched = drawn * self.lengths.astype(drawn.dtype)
        columns = columns.astype(drawn.dtype)
        added = np.zeros((5, len(drawn), self._n_groups))
        of_squares = np.zeros((len(drawn), self._n_groups))
        for group, rows in enumerate(self._group_rows()):
            added[:, :, group] = (drawn[:, rows] @ columns[rows]).T
            of_squares[:, group] = np.square(drawn[:, rows]) @ columns[rows, 2]
        multiply = self._by_vectors if self._cosines is None else self._by_cosines
        directions, grams = multiply(drawn, stretched)
        counts, lengths, directed, based, ratios = added.reshape(5, len(drawn), self._n_categories, 2)
        squares = of_squares.reshape(counts.shape)
        return LayerSums(counts, lengths, directed, squares, based, ratios, directions, grams)

    def _by_cosines(self, drawn: Floats, stretched: Floats) -> tuple[FloatArray, FloatArray]:
        """Take inner products of weighted sums as quadratic forms of the weights."""
        assert self._cosines is not None  # noqa: S101
        products = np.zeros((len(drawn), self._n_groups, self._n_groups))
        directions = np.zeros((len(drawn), self._n_axes, _OF_AXIS, _OF_AXIS))
        every = self._group_rows()
        for first, rows in enumerate(every):
            if rows.start == rows.stop:
                continue
            axis, place = divmod(first, _OF_AXIS)
            of_axis = self._ends[_OF_AXIS * (axis + 1)]
            begin = rows.start
            left = stretched[:, rows] @ self._cosines[rows, begin:]
            inside = drawn[:, rows] @ self._cosines[rows, begin:of_axis]
            for second in range(first, self._n_groups):
                here = every[second]
                there = slice(here.start - begin, here.stop - begin)
                found = np.einsum("ij,ij->i", left[:, there], stretched[:, here])
                products[:, first, second] = products[:, second, first] = found
                if second < _OF_AXIS * (axis + 1):
                    found = np.einsum("ij,ij->i", inside[:, there], drawn[:, here])
                    other = second % _OF_AXIS
                    directions[:, axis, place, other] = directions[:, axis, other, place] = found
        parted = products.reshape(len(drawn), self._n_categories, 2, self._n_categories, 2)
        grams = [
            grams_of_signed(
                parted[:, :, 0, :, 0] if subset is Subset.BOTH_CORRECT else parted.sum(axis=(2, 4))
            )
            for subset in self._subsets
        ]
        return directions, np.stack(grams)

    def _by_vectors(self, drawn: Floats, stretched: Floats) -> tuple[FloatArray, FloatArray]:
        """Take inner products of the weighted sums themselves."""
        n, dim = len(drawn), self._units.shape[1]
        directions: Floats = np.zeros((n, self._n_groups, dim), dtype=drawn.dtype)
        sums: Floats = np.zeros((n, self._n_groups, dim), dtype=drawn.dtype)
        for group, rows in enumerate(self._group_rows()):
            directions[:, group] = drawn[:, rows] @ self._units[rows]
            sums[:, group] = stretched[:, rows] @ self._units[rows]
        of_axes = directions.reshape(n, self._n_axes, _OF_AXIS, dim)
        signs = np.array([_sign(2 * code) for code in range(self._n_categories)], dtype=sums.dtype)
        raw = sums.reshape(n, self._n_categories, 2, dim).swapaxes(-1, -2) * signs[:, None, None]
        grams = np.stack([grams_of_sums(of_subset(raw, subset)) for subset in self._subsets])
        return (of_axes @ of_axes.swapaxes(-1, -2)).astype(np.float64), grams.astype(np.float64)

    def _group_rows(self) -> list[slice]:
        return [slice(begin, end) for begin, end in pairwise(self._ends)]


def _sign(group: int) -> float:
    """Return the sign of a group's deltas; the groups of the canonical category come before its opposite's."""
    return 1.0 if group % _OF_AXIS < _OF_AXIS // 2 else -1.0
