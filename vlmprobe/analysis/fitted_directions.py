"""The direction of an axis in one layer, to be used elsewhere, and what is known of how well it works."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.deltas import category_codes, deltas
from vlmprobe.analysis.geometry import (
    Layout,
    axis_size,
    direction_hits,
    halves,
    sums_of_vectors,
    why_no_halves,
)
from vlmprobe.analysis.inference import Estimate, effective_wilson
from vlmprobe.pairs.axes import SPACE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import FloatArray, IntArray
    from vlmprobe.pairs.axes import AxisSet

__all__ = ["NO_AXIS", "NO_DIRECTION", "FittedDirection", "fit_direction", "without_interval"]

NO_DIRECTION = "a category has no pair, or the mean effect is zero"
NO_AXIS = "no interval without a resolved axis: both halves are then right or wrong together"


@dataclass(frozen=True, slots=True, eq=False)
class FittedDirection:
    """The mean effect of an axis's category in one layer."""

    axis: str
    vector: FloatArray
    """(D,), of length 1, towards the canonical category: left, above, far."""
    norm: float
    """Length of the mean effect, in the unit of the states; noise makes it longer."""
    size: Estimate
    """Squared length without the noise, from products of different images; resolved if its interval is above 0."""
    accuracy: Estimate
    """Share of pairs whose category the direction of the other half of the images tells by its sign; without an
    interval where ``size`` is not resolved."""
    n: int
    n_images: int


def fit_direction(
    orig: npt.NDArray[Any],
    swap: npt.NDArray[Any],
    categories: Sequence[str],
    images: Sequence[str],
    axis: str,
    axes: AxisSet = SPACE,
) -> FittedDirection | None:
    """Fit the direction of one axis on deltas as they are: -alpha / |alpha|.

    alpha is half the difference of the two categories' mean deltas, each category with equal weight, so that what any
    swap does alike cancels. A delta leads away from the original category; its negative points to it.

    Args:
        orig: (N, D) states of the original questions of all axes, any float dtype.
        swap: (N, D) states of the swapped questions.
        categories: N category names.
        images: N image names or hashes.
        axis: one of ``axes``.
        axes: the set that the categories are of.

    Returns:
        None where there is no direction: a category has no pair, or alpha is zero.

    Raises:
        ValueError: the shapes differ, or a name is no category.
    """
    codes: IntArray = category_codes(categories, axes)
    rows = np.flatnonzero(codes // 2 == axes.axes.index(axes.axis(axis)))
    ends, of_rows = codes[rows] % 2, [images[row] for row in rows.tolist()]
    vectors = deltas(orig[rows], swap[rows])
    if len(np.unique(ends)) < 2:
        return None
    alpha = (vectors[ends == 0].mean(axis=0) - vectors[ends == 1].mean(axis=0)) / 2
    norm = float(np.linalg.norm(alpha))
    if norm == 0:
        return None
    layout = Layout(ends, of_rows, 2)
    products = sums_of_vectors(vectors, layout).raw.products()
    size = axis_size(products, 0).estimate()
    return FittedDirection(
        axis=axis,
        vector=-alpha / norm,
        norm=norm,
        size=size,
        accuracy=_accuracy(vectors, ends, of_rows, products.counts, is_resolved=size.is_resolved),
        n=len(rows),
        n_images=layout.n_images,
    )


def _accuracy(
    vectors: FloatArray, ends: IntArray, images: Sequence[str], counts: IntArray, *, is_resolved: bool
) -> Estimate:
    reason = why_no_halves(counts, (0, 1))
    hits = None if reason else direction_hits(vectors, ends == 0, halves(ends, images))
    if hits is None:
        return Estimate(None, len(counts), reason=reason or NO_DIRECTION)
    found = effective_wilson(hits, images)
    return found if is_resolved else without_interval(found)


def without_interval(accuracy: Estimate) -> Estimate:
    """Leave out the interval of an accuracy, where no axis is resolved.

    Either direction is read on the pairs that the other one was fitted on. Without an axis chance makes the two alike
    or opposite, so that both halves are read rightly or wrongly together, and bounds from single images are too narrow.
    """
    return accuracy if accuracy.reason else replace(accuracy, ci_low=None, ci_high=None, reason=NO_AXIS)
