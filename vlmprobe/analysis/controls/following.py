"""Whether the state follows the truth or the answer, where the answer is wrong."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.controls.deltas import asked
from vlmprobe.analysis.geometry.estimates import MIN_IMAGES_OF_CATEGORY
from vlmprobe.analysis.inference import Statistic

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import BoolArray, FloatArray, IntArray

__all__ = ["MIN_WRONG", "TOO_FEW_WRONG", "answer_following"]

MIN_WRONG = 10
TOO_FEW_WRONG = f"fewer than {MIN_WRONG} pairs with both answers wrong"
TOO_FEW_IMAGES = (
    f"wrong pairs, or right ones of a category, come from fewer than {MIN_IMAGES_OF_CATEGORY} images"
)


def answer_following(
    vectors: npt.NDArray[Any],
    canonical: Sequence[bool] | BoolArray,
    images: Sequence[str],
    *,
    both_right: Sequence[bool] | BoolArray,
    both_wrong: Sequence[bool] | BoolArray,
) -> Statistic:
    """Estimate ``answer_following``: the mean cosine of wrong pairs' deltas and the direction of the right pairs.

    Above 0 the state follows the truth, below 0 the answer. Coherence by outcome cannot tell: cosines within a group do
    not know the sign. The direction of a wrong pair is the axis effect of the right pairs of other images, each
    category with equal weight; deltas are sign-corrected.

    Args:
        vectors: (N, D) deltas of one axis, not sign-corrected; a row of NaN is a pair that was not asked.
        canonical: (N,) whether the pair is of the canonical category.
        images: N image names or hashes.
        both_right: (N,) pairs with both answers right.
        both_wrong: (N,) pairs with both wrong. Of a pair with one answer wrong the two answers are alike, and there is
            no answer for the delta to follow.

    Returns:
        Not defined below 10 wrong pairs, or without right pairs of either category in other images. Leave-one-outs
        leave an image out of the wrong pairs and of the direction at once.

    Raises:
        ValueError: the lengths differ, or a delta is not finite.
    """
    flags = [np.asarray(each, dtype=bool) for each in (canonical, both_right, both_wrong)]
    if any(len(each) != len(vectors) for each in (*flags, images)):
        raise ValueError(f"{len(vectors)} deltas need one category, image and verdict each")
    ends, right, wrong = flags
    names, image_of = np.unique(np.asarray(images, dtype=np.str_), return_inverse=True)
    inside = asked(vectors)
    right, wrong = right & inside, wrong & inside
    deltas = np.where(inside[:, None], vectors, 0.0).astype(np.float64) * np.where(ends, 1.0, -1.0)[:, None]
    sums = np.zeros((len(names), 2, deltas.shape[1]))
    np.add.at(sums, (image_of[right], (~ends[right]).astype(np.int64)), deltas[right])
    counts = np.zeros((len(names), 2), dtype=np.int64)
    np.add.at(counts, (image_of[right], (~ends[right]).astype(np.int64)), 1)
    has_wrong = np.bincount(image_of[wrong], minlength=len(names)) > 0
    members = has_wrong | counts.any(axis=1)
    lengths = np.linalg.norm(deltas, axis=1)
    # A zero delta follows nothing.
    wrong &= lengths > 0
    units = deltas[wrong] / lengths[wrong, None]
    few = min(int(has_wrong.sum()), *(counts > 0).sum(axis=0).tolist())
    reason = TOO_FEW_IMAGES if few < MIN_IMAGES_OF_CATEGORY else ""
    if wrong.sum() < MIN_WRONG:
        return Statistic(nan, np.full(len(names), nan), members, few, reason=TOO_FEW_WRONG)
    parts = _RightPairs(sums, counts, units, image_of[wrong])
    leave_outs = np.array([parts.mean_cosine(without) for without in range(len(names))])
    return Statistic(parts.mean_cosine(), leave_outs, members, few, reason=reason)


class _RightPairs:
    """The sums of right pairs by image and category, and the wrong pairs that are held against them."""

    def __init__(self, sums: FloatArray, counts: IntArray, units: FloatArray, images: IntArray) -> None:
        self._sums, self._counts, self._units, self._images = sums, counts, units, images
        self._total, self._n = sums.sum(axis=0), counts.sum(axis=0)

    def mean_cosine(self, without: int | None = None) -> float:
        """Return the mean over wrong pairs, without one image; NaN where a direction is missing."""
        total, n, kept = self._total, self._n, np.ones(len(self._units), dtype=bool)
        if without is not None:
            total, n = total - self._sums[without], n - self._counts[without]
            kept = self._images != without
        # The pair's own image says nothing of whether other images agree with it.
        own = self._images[kept]
        n_others = n - self._counts[own]
        if not kept.any() or n_others.min() < 1:
            return nan
        directions = ((total - self._sums[own]) / n_others[:, :, None]).sum(axis=1)
        lengths = np.linalg.norm(directions, axis=1)
        if lengths.min() == 0:
            return nan
        return float((np.einsum("ij,ij->i", directions, self._units[kept]) / lengths).mean())
