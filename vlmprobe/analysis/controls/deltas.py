"""Deltas of several runs over the same pairs, some of which may not have been asked everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.deltas import NOT_FINITE
from vlmprobe.analysis.geometry import Layout, sums_of_vectors

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import BoolArray, FloatArray
    from vlmprobe.analysis.geometry import DeltaSums

__all__ = ["Counterbalanced", "asked", "sums_of_asked", "sums_of_both", "without_axis"]


@dataclass(frozen=True, slots=True, eq=False)
class Counterbalanced:
    """Deltas of the same pairs under two templates that share the scene and oppose the answer's word.

    Of ``yes-no`` and ``yes-no-opposite``: where the one goes from yes to no, the other goes from no to yes.
    """

    first: npt.NDArray[Any]
    """(N, D) deltas of the one template; a row of NaN is a pair that was not asked."""
    opposite: npt.NDArray[Any]
    """(N, D) of the other."""

    def __post_init__(self) -> None:
        if np.shape(self.first) != np.shape(self.opposite):
            raise ValueError(
                "two templates need deltas of the same pairs, "
                f"got {np.shape(self.first)} and {np.shape(self.opposite)}"
            )

    @property
    def space(self) -> FloatArray:
        """(N, D) sigma = (s + s') / 2: what follows the scene. Names follow it too: both templates share them."""
        return np.asarray(np.add(self.first, self.opposite, dtype=np.float64) / 2)

    @property
    def word(self) -> FloatArray:
        """(N, D) rho = (s - s') / 2: what follows the answer's word."""
        return np.asarray(np.subtract(self.first, self.opposite, dtype=np.float64) / 2)


def asked(vectors: npt.NDArray[Any]) -> BoolArray:
    """Return (N,) which pairs have a vector: the rows that are not NaN throughout.

    Raises:
        ValueError: a row holds numbers beside NaN, or infinite ones.
    """
    found: BoolArray = np.isfinite(vectors).all(axis=1)
    if not (found | np.isnan(vectors).all(axis=1)).all():
        raise ValueError(f"there are {NOT_FINITE}")
    return found


def without_axis(
    vectors: npt.NDArray[Any], axis_of: npt.NDArray[Any], canonical: Sequence[bool] | BoolArray
) -> FloatArray:
    """Return vectors less their parts along the axis of others: the difference of those's two category means.

    Args:
        vectors: (N, D), not sign-corrected; a row of NaN is a pair that was not asked.
        axis_of: (N, D) what the axis is taken of, likewise.
        canonical: (N,) whether the pair is of the canonical category.

    Returns:
        (N, D); as they are where a category of ``axis_of`` is empty, or its means are equal.
    """
    deltas, inside = np.asarray(vectors, dtype=np.float64), asked(axis_of)
    ends = np.asarray(canonical, dtype=bool)
    both = [np.asarray(axis_of[inside & (ends == end)], dtype=np.float64) for end in (True, False)]
    if not all(len(each) for each in both):
        return deltas
    along = both[0].mean(axis=0) - both[1].mean(axis=0)
    length = float(np.linalg.norm(along))
    if length == 0:
        return deltas
    left: FloatArray = deltas - np.outer(deltas @ (along / length), along / length)
    return left


def sums_of_asked(vectors: npt.NDArray[Any], layout: Layout) -> DeltaSums:
    """Sum the vectors of the pairs that were asked.

    Args:
        vectors: (N, D).
        layout: of the N pairs; groups are categories, 2 k and 2 k + 1 of axis k.

    Raises:
        ValueError: there are not N rows, or one is not finite and not NaN throughout.
    """
    inside = asked(vectors)
    if inside.all():
        return sums_of_vectors(vectors, layout)
    return sums_of_vectors(*_rows(vectors, layout, inside))


def sums_of_both(first: npt.NDArray[Any], second: npt.NDArray[Any], layout: Layout) -> DeltaSums:
    """Sum two sets of vectors of the same N pairs, for cosines between the two.

    An image is one in both, so that no product is of vectors of one image.

    Args:
        first: (N, D).
        second: (N, D).
        layout: of the N pairs, with T groups.

    Returns:
        Sums over 2 T groups: those of the first set, then those of the second.
    """
    return sums_of_asked(np.concatenate([first, second]), layout.twice())


def _rows(vectors: npt.NDArray[Any], layout: Layout, inside: BoolArray) -> tuple[npt.NDArray[Any], Layout]:
    if len(vectors) != len(layout.groups):
        raise ValueError(f"the layout is of {len(layout.groups)} vectors, got {len(vectors)}")
    names = np.array(layout.image_names, dtype=np.str_)[layout.images[inside]]
    return vectors[inside], Layout(layout.groups[inside], names.tolist(), layout.n_groups)
