"""The pairs of a run by category and by whether both answers are right, and one layer's products over these groups.

Intervals of several metrics follow from the same sums over a layer, so they are taken once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.deltas import category_codes, check_finite, check_shapes
from vlmprobe.analysis.geometry import Layout, halves, sums_of_swaps
from vlmprobe.analysis.groups import Groups
from vlmprobe.analysis.layer_sums import LayerVectors
from vlmprobe.pairs.axes import SPACE, Subset

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import BoolArray, FloatArray, IntArray
    from vlmprobe.analysis.geometry import DeltaSums, Products
    from vlmprobe.pairs.axes import AxisSet

__all__ = ["LayerProducts", "PairGroups"]

#: Kinds of pairs of a category: right ones in either half of all images and of those of right pairs, then the others in
#: either half of all images.
_KINDS = 6
_OF_SUBSET = {Subset.ALL: [1.0] * _KINDS, Subset.BOTH_CORRECT: [1.0] * 4 + [0.0] * 2}
_HALF_OF_KIND = {Subset.ALL: [0, 0, 1, 1, 0, 1], Subset.BOTH_CORRECT: [0, 1, 0, 1, 0, 0]}


class PairGroups:
    """The groups of N pairs, the same in every layer of a run."""

    def __init__(
        self,
        categories: Sequence[str],
        images: Sequence[str],
        *,
        both_correct: npt.NDArray[np.bool_] | None = None,
        axes: AxisSet = SPACE,
    ) -> None:
        """Sort the pairs into groups.

        Args:
            categories: N category names.
            images: N image names or hashes; pairs about one image are not independent.
            both_correct: (N,) mask of the pairs with both answers right; without it there is only ``all``.
            axes: the set that the categories are of.

        Raises:
            ValueError: the lengths differ, or a name is no category.
        """
        self.axes = axes
        self.codes: IntArray = category_codes(categories, axes)
        n = len(self.codes)
        for name, column in (("images", images), ("both_correct", both_correct)):
            if column is not None and len(column) != n:
                raise ValueError(f"{n} pairs need {n} {name}, got {len(column)}")
        self.right: BoolArray = (
            np.ones(n, dtype=bool) if both_correct is None else np.asarray(both_correct, dtype=bool)
        )
        self.images = np.asarray(images, dtype=np.str_)
        self.subsets: tuple[Subset, ...] = (
            (Subset.ALL,) if both_correct is None else (Subset.ALL, Subset.BOTH_CORRECT)
        )

    @cached_property
    def layout(self) -> Layout:
        """The pairs by category, by whether both answers are right, and by the halves of the images of each subset."""
        # Not by perspective: boxes that are given later would change the order of sums, and so the last bits.
        of_all, of_right = self.second_halves[Subset.ALL], self.second_halves[Subset.BOTH_CORRECT]
        kind = np.where(self.right, 2 * of_all + of_right, 4 + of_all)
        return Layout(_KINDS * self.codes + kind, self.images.tolist(), _KINDS * len(self.axes.categories))

    @cached_property
    def second_halves(self) -> dict[Subset, BoolArray]:
        """(N,) which pairs' images are in the second half of each subset; see ``geometry.halves``."""
        found = {Subset.ALL: halves(self.codes, self.images.tolist())}
        of_right = np.zeros(len(self.codes), dtype=bool)
        of_right[self.right] = halves(self.codes[self.right], self.images[self.right].tolist())
        found[Subset.BOTH_CORRECT] = of_right
        return found

    @cached_property
    def order(self) -> IntArray:
        """(N,) numbers of the pairs, group after group."""
        return self._unsorted.order()

    @cached_property
    def groups(self) -> Groups:
        """The pairs in that order."""
        return self._unsorted.select(self.order)

    @cached_property
    def _unsorted(self) -> Groups:
        numbers = np.unique(self.images, return_inverse=True)[1]
        return Groups(self.codes, self.right, numbers, len(self.axes.categories))

    def vectors(self, orig: npt.NDArray[Any], swap: npt.NDArray[Any], *, layer: int) -> LayerVectors:
        """Take the deltas of one layer, their lengths and directions.

        Args:
            orig: (N, D) states of the original questions, any float dtype.
            swap: (N, D) states of the swapped questions.
            layer: the layer's number, for the message.

        Raises:
            ValueError: a state is not finite, the shapes differ, or there are not as many states as pairs.
        """
        check_shapes(orig, swap)
        if len(orig) != len(self.codes):
            raise ValueError(f"{len(orig)} pairs need one category each, got {len(self.codes)}")
        # inf - inf: reported below, with the layer and the count
        with np.errstate(invalid="ignore", over="ignore"):
            vectors = LayerVectors(orig, swap, self.order, self.groups, self.subsets)
        # If a difference is finite, so are its terms and its length.
        check_finite(vectors.lengths, "pairs", layer=layer)
        return vectors

    def members(self, subset: Subset, half: int | None = None) -> FloatArray:
        """Return (C, T) which groups the categories of a subset hold, or those of its first or second half."""
        of_category = np.array(_OF_SUBSET[subset])
        if half is not None:
            of_category = of_category * (np.array(_HALF_OF_KIND[subset]) == half)
        members: FloatArray = np.kron(np.eye(len(self.axes.categories)), of_category).astype(np.float64)
        return members

    def image_counts(self, subset: Subset) -> IntArray:
        """Return (G, C) pairs of each image and category."""
        inside = self.right if subset is Subset.BOTH_CORRECT else np.ones_like(self.right)
        counts = np.zeros((self.layout.n_images, len(self.axes.categories)), dtype=np.int64)
        np.add.at(counts, (self.layout.images[inside], self.codes[inside]), 1)
        return counts

    def products(self, orig: npt.NDArray[Any], swap: npt.NDArray[Any]) -> LayerProducts:
        """Take the sums of one layer.

        Args:
            orig: (N, D) finite states of the original questions, any float dtype.
            swap: (N, D) states of the swapped questions.

        Raises:
            ValueError: there are not as many states as pairs.
        """
        return self.products_of(sums_of_swaps(orig, swap, self.layout))

    def products_of(self, sums: DeltaSums) -> LayerProducts:
        """Return the same from the sums of one layer by ``layout``."""
        members = {subset: self.members(subset) for subset in self.subsets}
        return LayerProducts(
            sums,
            members,
            raw={subset: sums.raw.products(groups) for subset, groups in members.items()},
            units={subset: sums.units.products(groups) for subset, groups in members.items()},
        )


@dataclass(frozen=True, slots=True, eq=False)
class LayerProducts:
    """The products of one layer over the categories of each subset."""

    sums: DeltaSums
    members: dict[Subset, FloatArray]
    """(C, T) which groups each category of a subset holds."""
    raw: dict[Subset, Products]
    """Of deltas as they are."""
    units: dict[Subset, Products]
    """Of their directions."""
