"""Whether the direction of one axis tells the category of pairs it was not fitted on, of its own axis or of another.

A logistic probe does no better than the mean direction on the demo and needs a package more; see ``probe``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.controls.deltas import asked
from vlmprobe.analysis.geometry.estimates import (
    MIN_IMAGES,
    MIN_IMAGES_OF_CATEGORY,
    TOO_FEW_IMAGES,
    TOO_FEW_OF_CATEGORY,
)
from vlmprobe.analysis.inference import Estimate, effective_wilson

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import BoolArray, FloatArray, IntArray

__all__ = ["NO_DIRECTION", "AxisDeltas", "direction_accuracy", "transfer", "transfer_matrix"]

NO_DIRECTION = "a category has no pair in other images"


@dataclass(frozen=True, slots=True, eq=False)
class AxisDeltas:
    """The pairs of one axis under one template, in one layer."""

    vectors: npt.NDArray[Any]
    """(N, D) deltas, not sign-corrected; a row of NaN is a pair that was not asked."""
    canonical: Sequence[bool] | BoolArray
    """(N,) whether the pair is of the canonical category."""
    images: Sequence[str]
    """N image names or hashes."""

    def __post_init__(self) -> None:
        if not len(self.vectors) == len(self.canonical) == len(self.images):
            raise ValueError(f"{len(self.vectors)} deltas need one category and one image each")


def direction_accuracy(pairs: AxisDeltas) -> Estimate:
    """Estimate how often the axis direction of all other images tells a pair's category by the sign of its delta.

    .5: it tells nothing. The direction is the difference of the two categories' mean deltas. All pairs of an image are
    left out at once: partners share their image's noise, and one of them would give the other away.

    Returns:
        With Wilson's interval over images. Each pair is in the direction of all others, so where there is no axis the
        share strays further than the interval says: it holds .5 in .86 to .93 of studies. Whether there is an axis at
        all, ``axis_test`` says.
    """
    return transfer(pairs, pairs)


def transfer(source: AxisDeltas, target: AxisDeltas) -> Estimate:
    """Estimate how often the direction of one axis or template tells the category of pairs of another.

    Canonical stands for canonical: 1 says that "left" of the one moves the state as "above" of the other does; 0, that
    it moves it the opposite way. Where an image is in both, it is left out of the direction for its pairs.

    Args:
        source: what the direction is fitted on.
        target: the pairs that are told.

    Raises:
        ValueError: the deltas differ in length, or one is not finite.
    """
    if np.shape(source.vectors)[1:] != np.shape(target.vectors)[1:]:
        raise ValueError("a direction can be read along deltas of the same model and layer alone")
    fitted, told = _Kept.of(source), _Kept.of(target)
    names, numbers = np.unique(np.concatenate([fitted.images, told.images]), return_inverse=True)
    of_fitted, of_told = numbers[: len(fitted.images)], numbers[len(fitted.images) :]
    sums = np.zeros((len(names), 2, fitted.vectors.shape[1]))
    np.add.at(sums, (of_fitted, fitted.groups), fitted.vectors)
    counts = np.zeros((len(names), 2), dtype=np.int64)
    np.add.at(counts, (of_fitted, fitted.groups), 1)
    # Of each pair, without its own image: sums along the delta, and their numbers.
    own = np.einsum("ntd,nd->nt", sums[of_told], told.vectors)
    others, n_others = told.vectors @ sums.sum(axis=0).T - own, counts.sum(axis=0) - counts[of_told]

    n_images = min(len(np.unique(of_fitted)), len(np.unique(of_told)))
    if not len(of_told) or n_others.min() < 1:
        return Estimate(None, n_images, reason=NO_DIRECTION)
    means = others / n_others
    # A zero delta lies along nothing, and is no hit.
    scores = np.where(told.groups == 0, 1.0, -1.0) * (means[:, 0] - means[:, 1])
    found = replace(effective_wilson(scores > 0, told.images.tolist()), n_images=n_images)
    reason = TOO_FEW_IMAGES if n_images < MIN_IMAGES else ""
    if not reason and (counts > 0).sum(axis=0).min() < MIN_IMAGES_OF_CATEGORY:
        reason = TOO_FEW_OF_CATEGORY
    return Estimate(found.value, n_images, reason=reason) if reason else found


def transfer_matrix(sets: Mapping[str, AxisDeltas]) -> dict[tuple[str, str], Estimate]:
    """Return ``transfer`` from each named set to each, itself among them (``direction_accuracy``)."""
    return {
        (one, other): transfer(source, target)
        for one, source in sets.items()
        for other, target in sets.items()
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    vectors: FloatArray
    groups: IntArray
    """0 = canonical."""
    images: npt.NDArray[np.str_]

    @classmethod
    def of(cls, pairs: AxisDeltas) -> _Kept:
        inside = asked(pairs.vectors)
        groups = (~np.asarray(pairs.canonical, dtype=bool)).astype(np.int64)
        return cls(
            np.asarray(pairs.vectors, dtype=np.float64)[inside],
            groups[inside],
            np.asarray(pairs.images, dtype=np.str_)[inside],
        )
