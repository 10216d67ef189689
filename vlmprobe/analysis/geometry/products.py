"""Inner products of mean vectors from pairs of different images only, and the same without each image in turn.

With S_t the sum of the vectors of group t, S_tg that of image g's, and n_t, n_tg their numbers::

    P_tu = (S_t . S_u - sum_g S_tg . S_ug) / (n_t n_u - sum_g n_tg n_ug)

estimates mean_t . mean_u without bias, whatever the noise and however the pairs are spread over images, if the sizes
of the images are unrelated to their vectors (a U-statistic; in representational similarity analysis "crossnobis",
Walther et al., NeuroImage 137, 2016). Without image h the numerator loses S_th . S_u + S_t . S_uh - 2 S_th . S_uh, and
the denominator likewise, so that all leave-one-outs cost one product of the vectors with the sums.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from vlmprobe.analysis.deltas import FloatArray, IntArray
    from vlmprobe.analysis.geometry.layout import Layout

__all__ = ["CrossSums", "Products"]


@dataclass(frozen=True, slots=True, eq=False)
class Products:
    """P of T groups, and what follows from the same sums."""

    values: FloatArray
    """(T, T) P_tu; NaN where no two vectors come from different images."""
    leave_outs: FloatArray
    """(G, T, T) P_tu without image h."""
    counts: IntArray
    """(G, T) vectors of each image and group."""
    plug_in: FloatArray
    """(T, T) inner products of the mean vectors themselves, noise and all."""
    known: dict[Any, Any] = field(default_factory=dict, repr=False)
    """What has been computed of these: an axis is asked for again with each axis that it stands beside."""


@dataclass(frozen=True, slots=True, eq=False)
class CrossSums:
    """The sums behind P, cell by cell: any union of groups follows from them, without the vectors."""

    layout: Layout
    counts: IntArray
    """(cells,) vectors of each cell."""
    totals: FloatArray
    """(T, T) S_t . S_u."""
    along: FloatArray
    """(cells, T) S_tg . S_u of the cell's t and g."""
    shared: FloatArray
    """(K,) S_tg . S_ug of the ``cell_pairs`` of the layout."""

    def image_counts(self, members: npt.NDArray[Any]) -> IntArray:
        """Return (G, T') vectors of each image and union of groups, as of ``products``."""
        unions = self.layout.unions(np.asarray(members, dtype=np.float64))
        return unions.image_counts(self.counts).astype(np.int64)

    def products(self, members: npt.NDArray[Any] | None = None) -> Products:
        """Compute P of unions of groups.

        Args:
            members: (T', T) which groups a union holds; -1 for a group whose vectors are to be negated. Without it,
                each group is one.
        """
        n_groups = self.layout.n_groups
        union = np.eye(n_groups) if members is None else np.asarray(members, dtype=np.float64)
        unions = self.layout.unions(union)
        pairs = unions.pair_counts(self.counts)
        along, shared = unions.of_cells(self.along @ union.T), unions.of_pairs(self.shared)
        totals = union @ self.totals @ union.T
        numerator = totals - shared.sum(axis=0)
        numerators = numerator - along - along.transpose(0, 2, 1) + 2.0 * shared
        return Products(
            values=_ratio(numerator, pairs.different),
            leave_outs=_ratio(numerators, pairs.left),
            counts=pairs.counts,
            plug_in=_ratio(totals, pairs.every),
        )


def _ratio(products: FloatArray, pairs: FloatArray) -> FloatArray:
    ratios: FloatArray = np.divide(products, pairs, out=np.full(np.shape(products), nan), where=pairs > 0)
    return ratios
