"""Splits pairs into groups; each category, axis and subset is a union of groups, so all share one product.

A group holds the pairs of one category with both answers right, or the others of that category. Arrays over
groups end in (C, 2): the C categories of K = C / 2 axes, in the axes' order, then both right or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.pairs.axes import Subset

if TYPE_CHECKING:
    import numpy.typing as npt

    from vlmprobe.analysis.deltas import BoolArray, FloatArray, IntArray

__all__ = ["Groups", "of_axes", "of_subset", "totals_of_targets"]


def of_axes(n_categories: int) -> npt.NDArray[np.bool_]:
    """Return which categories lie on which axis, (K, C)."""
    return np.repeat(np.eye(n_categories // 2, dtype=bool), 2, axis=1)


def of_subset(values: npt.NDArray[Any], subset: Subset) -> npt.NDArray[Any]:
    """Reduce (..., C, 2) sums over groups to the (..., C) sums over the categories of a subset."""
    both_right = values[..., 0]
    return both_right if subset is Subset.BOTH_CORRECT else both_right + values[..., 1]


def totals_of_targets(values: npt.NDArray[Any]) -> FloatArray:
    """Add (..., C) sums over categories up to (..., C + K): the categories, then the axes."""
    n = values.shape[-1]
    totals: FloatArray = values @ np.vstack([np.eye(n), of_axes(n)]).T
    return totals


@dataclass(frozen=True, slots=True)
class Groups:
    """The group of each of N pairs."""

    codes: IntArray
    """(N,) category numbers."""
    right: BoolArray
    """(N,) whether both answers are right."""
    images: npt.NDArray[Any]
    """(N,) image numbers."""
    n_categories: int

    def order(self) -> IntArray:
        """Return the pairs' numbers, group after group: by category, then right and not."""
        return np.lexsort((~self.right, self.codes))

    def select(self, places: IntArray) -> Groups:
        """Return some pairs, or all of them in another order."""
        return Groups(self.codes[places], self.right[places], self.images[places], self.n_categories)

    def ends(self) -> list[int]:
        """Return where the 2 C groups begin, and the last one ends, if the pairs are in ``order``."""
        sizes = np.bincount(2 * self.codes + ~self.right, minlength=2 * self.n_categories)
        return [0, *np.cumsum(sizes).tolist()]

    def rows_of_targets(self, subset: Subset) -> list[BoolArray]:
        """Mask the pairs of a subset's categories, then of its axes."""
        inside = self.right if subset is Subset.BOTH_CORRECT else np.ones_like(self.right)
        of_category = [(self.codes == code) & inside for code in range(self.n_categories)]
        return of_category + [
            first | second for first, second in zip(of_category[::2], of_category[1::2], strict=True)
        ]

    def support(self, subset: Subset, kept: BoolArray) -> tuple[list[int], list[int]]:
        """Count pairs and distinct images of a subset's targets, of those pairs that are kept."""
        masks = [rows & kept for rows in self.rows_of_targets(subset)]
        return [int(mask.sum()) for mask in masks], [len(np.unique(self.images[mask])) for mask in masks]
