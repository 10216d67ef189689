"""Cosines between mean deltas, and the vertical-distance entanglement index (VD-EI) made of them.

Every function takes leading dimensions (one entry per resample) and works on the last two. Of these the first C
rows and columns are the categories of an ``AxisSet`` in its order, the next K its axes.
"""

from __future__ import annotations

from itertools import combinations
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.pairs.axes import DEPTH, HEIGHT, SPACE

if TYPE_CHECKING:
    from vlmprobe.analysis.deltas import FloatArray
    from vlmprobe.pairs.axes import Axis, AxisSet, Category

__all__ = ["axis_pairs", "category_pairs", "cosines", "vd_ei_eq3", "vd_ei_pooled"]

#: A sum this much shorter than its terms is only rounding, left by vectors that cancel.
_CANCELLED = 1e-12


def category_pairs(axes: AxisSet) -> tuple[tuple[Category, Category], ...]:
    """Return the cells above the diagonal of the similarity matrix; 15 for six categories."""
    return tuple(combinations(axes.categories, 2))


def axis_pairs(axes: AxisSet) -> tuple[tuple[Axis, Axis], ...]:
    """Return the axes of VD-EI, and beside them the pairs of axes that serve as its controls.

    Perspective entangles no third axis with height or with depth. Axes without height and depth have no VD-EI.
    """
    if HEIGHT not in axes or DEPTH not in axes:
        return ()
    both = axes.axis(HEIGHT), axes.axis(DEPTH)
    others = [axis for axis in axes if axis not in both]
    return (both, *((other, axis) for other in others for axis in both))


def grams_of_sums(sums: FloatArray) -> FloatArray:
    """Take inner products of sums of vectors per category and, sign-corrected, per axis.

    Args:
        sums: (..., C, D) sums over the categories, axis by axis, not sign-corrected.

    Returns:
        (..., C + K, C + K) inner products: the C categories, then the K axes.
    """
    # Axis sums are formed before the product: taken from a C x C product they would lose the digits that canonical and
    # opposite have in common.
    signed = np.concatenate([sums, sums[..., ::2, :] - sums[..., 1::2, :]], axis=-2)
    grams: FloatArray = signed @ signed.swapaxes(-1, -2)
    return grams


def cosines(grams: FloatArray, lengths: FloatArray) -> FloatArray:
    """Turn inner products of sums of vectors into cosines; means have the cosines of their sums.

    Args:
        grams: (..., K, K) inner products of K sums.
        lengths: (..., K) the summed lengths of each sum's terms.

    Returns:
        (..., K, K) cosines in [-1, 1]; NaN where a sum is empty or its terms cancel: zero has no direction.
    """
    # Where terms cancel, rounding may leave a value below 0.
    norms = np.sqrt(np.maximum(np.diagonal(grams, axis1=-2, axis2=-1), 0.0))
    norms = np.where(norms > _CANCELLED * lengths, norms, nan)
    ratios: FloatArray = grams / (norms[..., :, None] * norms[..., None, :])
    return np.clip(ratios, -1.0, 1.0)


def vd_ei_eq3(
    similarity: FloatArray, first: str = HEIGHT, second: str = DEPTH, *, axes: AxisSet = SPACE
) -> FloatArray:
    """Measure how far two axes share a direction (arXiv 2605.30161, Eq. 3).

    With + the canonical category of an axis and - its opposite::

        (cos(first+, second+) + cos(first-, second-) - cos(first+, second-) - cos(first-, second+)) / 4

    which for the defaults is (cos(above, far) + cos(below, close) - cos(above, close) - cos(below, far)) / 4.

    Args:
        similarity: (..., C or more, the same) cosines of the mean deltas of the categories.
        first: an axis.
        second: another axis.
        axes: the set that both are of.

    Returns:
        (...) values in [-1, 1]; NaN where a category has no data.
    """
    plus, other_plus = (2 * axes.axes.index(axes.axis(name)) for name in (first, second))
    minus, other_minus = plus + 1, other_plus + 1
    alike = similarity[..., plus, other_plus] + similarity[..., minus, other_minus]
    crossed = similarity[..., plus, other_minus] + similarity[..., minus, other_plus]
    return np.asarray((alike - crossed) / 4)


def vd_ei_pooled(
    similarity: FloatArray, first: str = HEIGHT, second: str = DEPTH, *, axes: AxisSet = SPACE
) -> FloatArray:
    """Look up the cosine of the mean sign-corrected deltas of two axes.

    Args:
        similarity: (..., C + K, C + K) cosines, of which the last K rows and columns are the axes.
        first: an axis.
        second: another axis.
        axes: the set that both are of.

    Returns:
        (...) values in [-1, 1]; NaN where an axis has no data.
    """
    row, column = (len(axes.categories) + axes.axes.index(axes.axis(name)) for name in (first, second))
    return np.asarray(similarity[..., row, column])
