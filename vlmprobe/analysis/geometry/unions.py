"""Unions of groups: what each image's cells add to them, as sparse matrices that no layer changes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from vlmprobe.analysis.deltas import FloatArray, IntArray
    from vlmprobe.analysis.geometry.layout import Layout

__all__ = ["PairCounts", "Unions"]


@dataclass(frozen=True, slots=True, eq=False)
class PairCounts:
    """How many vectors and pairs of vectors from different images T' unions have."""

    counts: IntArray
    """(G, T') vectors of each image and union."""
    every: FloatArray
    """(T', T') pairs, also of one image."""
    different: FloatArray
    """(T', T') pairs of different images."""
    left: FloatArray
    """(G, T', T') these without image h."""


class Unions:
    """T' unions of the groups of a layout."""

    def __init__(self, layout: Layout, members: FloatArray) -> None:
        """Prepare the sums.

        Args:
            layout: of the vectors.
            members: (T', T) as of ``CrossSums.products``.
        """
        from scipy.sparse import csr_array

        self._layout, self._n = layout, len(members)
        inside = members.T[layout.cell_groups]
        cells, unions = np.nonzero(inside)
        rows = layout.cell_images[cells] * self._n + unions
        size = layout.n_images * self._n
        self._cells = csr_array((inside[cells, unions], (rows, cells)), shape=(size, len(inside)))
        first, second = layout.cell_pairs
        weights = inside[first][:, :, None] * inside[second][:, None, :]
        different = first != second
        weights[different] += weights[different].transpose(0, 2, 1)
        pairs, one, other = np.nonzero(weights)
        rows = (layout.cell_images[first[pairs]] * self._n + one) * self._n + other
        self._pairs = csr_array(
            (weights[pairs, one, other], (rows, pairs)), shape=(size * self._n, len(first))
        )

    def of_cells(self, values: FloatArray) -> FloatArray:
        """Add (cells, k) values up to (G, T', k) by image and union."""
        return self._by_image(self._cells @ values, self._n, values.shape[1])

    def of_pairs(self, values: FloatArray) -> FloatArray:
        """Add the (K,) values of ``Layout.cell_pairs``, in either order, up to (G, T', T')."""
        return self._by_image(self._pairs @ values, self._n, self._n)

    def pair_counts(self, counts: IntArray) -> PairCounts:
        """Count pairs, from the (cells,) vectors of each cell."""
        # Without zero deltas, which are rare, all layers have the same.
        return self._of_all if np.array_equal(counts, self._layout.cell_sizes) else self._counted(counts)

    def image_counts(self, counts: IntArray) -> FloatArray:
        """Return the (G, T') vectors of each image and union, from those of each cell."""
        return self._by_image(abs(self._cells) @ counts.astype(np.float64), self._n)

    @cached_property
    def _of_all(self) -> PairCounts:
        return self._counted(self._layout.cell_sizes)

    def _counted(self, counts: IntArray) -> PairCounts:
        of_images = self.image_counts(counts)
        n = of_images.sum(axis=0)
        rest = n - of_images
        of_one = of_images[:, :, None] * of_images[:, None, :]
        of_same = of_one.sum(axis=0)
        every = np.outer(n, n)
        left = rest[:, :, None] * rest[:, None, :] - (of_same - of_one)
        return PairCounts(of_images.astype(np.int64), every, every - of_same, left)

    def _by_image(self, values: Any, *shape: int) -> FloatArray:
        found: FloatArray = np.asarray(values).reshape(self._layout.n_images, *shape)
        return found
