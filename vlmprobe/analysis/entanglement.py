"""Cosines between mean deltas, and the vertical-distance entanglement index (VD-EI) made of them.

Every function takes leading dimensions (one entry per resample) and works on the last two. Of these the first
six rows and columns are the categories in the order of ``CATEGORIES``, the next three the axes in that of
``AXES``.
"""

from __future__ import annotations

from itertools import combinations
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.pairs.axes import AXES, CATEGORIES, Axis

if TYPE_CHECKING:
    from vlmprobe.analysis.deltas import FloatArray

__all__ = ["AXIS_PAIRS", "CATEGORY_PAIRS", "cosines", "vd_ei_eq3", "vd_ei_pooled"]

#: The 15 cells above the diagonal of the similarity matrix.
CATEGORY_PAIRS = tuple(combinations(CATEGORIES, 2))
#: VD-EI itself, and beside it the same number for the two pairs of axes that serve as controls.
AXIS_PAIRS = (
    (Axis.VERTICAL, Axis.DISTANCE),
    (Axis.HORIZONTAL, Axis.VERTICAL),
    (Axis.HORIZONTAL, Axis.DISTANCE),
)
#: A sum this much shorter than its terms is only rounding, left by vectors that cancel.
_CANCELLED = 1e-12


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
    similarity: FloatArray, first: Axis = Axis.VERTICAL, second: Axis = Axis.DISTANCE
) -> FloatArray:
    """Measure how far two axes share a direction (arXiv 2605.30161, Eq. 3).

    With + the canonical category of an axis and - its opposite::

        (cos(first+, second+) + cos(first-, second-) - cos(first+, second-) - cos(first-, second+)) / 4

    which for the defaults is (cos(above, far) + cos(below, close) - cos(above, close) - cos(below, far)) / 4.

    Args:
        similarity: (..., 6 or more, the same) cosines of the mean deltas of the categories.
        first: an axis.
        second: another axis.

    Returns:
        (...) values in [-1, 1]; NaN where a category has no data.
    """
    plus, minus = (CATEGORIES.index(category) for category in first.categories)
    other_plus, other_minus = (CATEGORIES.index(category) for category in second.categories)
    alike = similarity[..., plus, other_plus] + similarity[..., minus, other_minus]
    crossed = similarity[..., plus, other_minus] + similarity[..., minus, other_plus]
    return np.asarray((alike - crossed) / 4)


def vd_ei_pooled(
    similarity: FloatArray, first: Axis = Axis.VERTICAL, second: Axis = Axis.DISTANCE
) -> FloatArray:
    """Look up the cosine of the mean sign-corrected deltas of two axes.

    Args:
        similarity: (..., 9, 9) cosines, of which the last three rows and columns are the axes.
        first: an axis.
        second: another axis.

    Returns:
        (...) values in [-1, 1]; NaN where an axis has no data.
    """
    offset = len(CATEGORIES)
    return np.asarray(similarity[..., offset + AXES.index(first), offset + AXES.index(second)])
