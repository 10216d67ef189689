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
    firsts: IntArray
    """(K,) cells, image after image, of which each with each second cell of the same image."""
    seconds: IntArray
    """(K,) cells; a cell goes with itself once, and two cells once."""
    shared: FloatArray
    """(K,) S_tg . S_ug of the two."""

    def image_counts(self, members: npt.NDArray[Any]) -> IntArray:
        """Return (G, T') vectors of each image and union of groups, as of ``products``."""
        inside = np.abs(np.asarray(members, dtype=np.float64)).T[self.layout.cell_groups]
        layout = self.layout
        return _by_image(inside * self.counts[:, None], layout.cell_images, layout.n_images).astype(np.int64)

    def products(self, members: npt.NDArray[Any] | None = None) -> Products:
        """Compute P of unions of groups.

        Args:
            members: (T', T) which groups a union holds; -1 for a group whose vectors are to be negated. Without it,
                each group is one.
        """
        layout = self.layout
        union = np.eye(layout.n_groups) if members is None else np.asarray(members, dtype=np.float64)
        n_unions, n_images = len(union), layout.n_images
        inside = union.T[layout.cell_groups]
        counts = self.image_counts(union).astype(np.float64)
        along = inside[:, :, None] * (self.along @ union.T)[:, None, :]
        along = _by_image(along, layout.cell_images, n_images)
        first, second = inside[self.firsts], inside[self.seconds]
        shared = (first * self.shared[:, None])[:, :, None] * second[:, None, :]
        different = self.firsts != self.seconds
        shared[different] += shared[different].transpose(0, 2, 1)
        shared = _by_image(shared, layout.cell_images[self.firsts], n_images)

        totals, n = union @ self.totals @ union.T, counts.sum(axis=0)
        pairs_of_image = counts[:, :, None] * counts[:, None, :]
        pairs = np.outer(n, n) - pairs_of_image.sum(axis=0)
        numerator = totals - shared.sum(axis=0)
        numerators = numerator - along - along.transpose(0, 2, 1) + 2.0 * shared
        rest = n - counts
        pairs_left = rest[:, :, None] * rest[:, None, :] - (pairs_of_image.sum(axis=0) - pairs_of_image)
        return Products(
            values=_ratio(numerator, pairs),
            leave_outs=_ratio(numerators, pairs_left).reshape(n_images, n_unions, n_unions),
            counts=counts.astype(np.int64),
            plug_in=_ratio(totals, np.outer(n, n)),
        )


def _by_image(values: FloatArray, images: IntArray, n_images: int) -> FloatArray:
    """Add (K, ...) values, image after image, up to (G, ...) by the image of each."""
    found = np.zeros((n_images, *values.shape[1:]))
    if len(images):
        # reduceat adds runs; np.add.at is ten times slower.
        first = np.flatnonzero(np.append(True, images[1:] != images[:-1]))
        found[images[first]] = np.add.reduceat(values, first, axis=0)
    return found


def _ratio(products: FloatArray, pairs: FloatArray) -> FloatArray:
    ratios: FloatArray = np.divide(products, pairs, out=np.full(np.shape(products), nan), where=pairs > 0)
    return ratios
