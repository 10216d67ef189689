"""Splits pairs into groups; each category, axis and subset is a union of groups, so all share one product.

A group holds the pairs of one category with both answers right, or the others of that category. Arrays over
groups end in (6, 2): the categories in the order of ``CATEGORIES``, then both right or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.pairs.axes import AXES, CATEGORIES, Subset

if TYPE_CHECKING:
    import numpy.typing as npt

    from vlmprobe.analysis.deltas import BoolArray, FloatArray, IntArray

__all__ = ["CATEGORIES_OF_AXES", "Groups", "of_subset", "totals_of_targets"]

#: Per axis the places of its two categories, the canonical one first.
CATEGORIES_OF_AXES = tuple(tuple(CATEGORIES.index(name) for name in axis.categories) for axis in AXES)
#: (9, 6): the six categories, then the three axes as sums of two.
_TARGETS = np.vstack(
    [np.eye(len(CATEGORIES))] + [np.isin(np.arange(len(CATEGORIES)), two) for two in CATEGORIES_OF_AXES]
)


def of_subset(values: npt.NDArray[Any], subset: Subset) -> npt.NDArray[Any]:
    """Reduce (..., 6, 2) sums over groups to the (..., 6) sums over the categories of a subset."""
    both_right = values[..., 0]
    return both_right if subset is Subset.BOTH_CORRECT else both_right + values[..., 1]


def totals_of_targets(values: npt.NDArray[Any]) -> FloatArray:
    """Add (..., 6) sums over categories up to (..., 9): the categories, then the axes."""
    totals: FloatArray = values @ _TARGETS.T
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

    def order(self) -> IntArray:
        """Return the pairs' numbers, group after group: by category, then right and not."""
        return np.lexsort((~self.right, self.codes))

    def select(self, places: IntArray) -> Groups:
        """Return some pairs, or all of them in another order."""
        return Groups(self.codes[places], self.right[places], self.images[places])

    def ends(self) -> list[int]:
        """Return where the twelve groups begin, and the last one ends, if the pairs are in ``order``."""
        sizes = np.bincount(2 * self.codes + ~self.right, minlength=2 * len(CATEGORIES))
        return [0, *np.cumsum(sizes).tolist()]

    def rows_of_targets(self, subset: Subset) -> list[BoolArray]:
        """Mask the pairs of a subset's six categories, then of its three axes."""
        inside = self.right if subset is Subset.BOTH_CORRECT else np.ones_like(self.right)
        of_category = [(self.codes == code) & inside for code in range(len(CATEGORIES))]
        return of_category + [
            of_category[first] | of_category[second] for first, second in CATEGORIES_OF_AXES
        ]

    def support(self, subset: Subset, kept: BoolArray) -> tuple[list[int], list[int]]:
        """Count pairs and distinct images of a subset's targets, of those pairs that are kept."""
        masks = [rows & kept for rows in self.rows_of_targets(subset)]
        return [int(mask.sum()) for mask in masks], [len(np.unique(self.images[mask])) for mask in masks]
