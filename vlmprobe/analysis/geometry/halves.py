"""Chooses a layer on one half of the images and reads it on the other, so that choosing does not flatter the value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.inference.estimate import Estimate
from vlmprobe.analysis.inference.jackknife import NO_VALUE, Statistic
from vlmprobe.analysis.inference.permutation import hash_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import BoolArray, FloatArray, IntArray

__all__ = ["TOO_FEW_FOR_HALVES", "Split", "direction_hits", "halves", "split_reading", "why_no_halves"]

MIN_IMAGES, MIN_IMAGES_OF_CATEGORY = 40, 10
TOO_FEW_FOR_HALVES = (
    f"halves need {MIN_IMAGES} images on an axis and {MIN_IMAGES_OF_CATEGORY} of each category"
)


@dataclass(frozen=True, slots=True)
class Split:
    """What was read on either half at the layer that the other half chose."""

    estimate: Estimate
    """Mean of the two readings."""
    places: tuple[int, int] | None
    """Places of the layers chosen on the first and on the second half."""


def halves(groups: Sequence[int] | IntArray, images: Sequence[str]) -> BoolArray:
    """Divide images into two halves that have the categories alike; an image's pairs stay together.

    Images with the same numbers of pairs of each category stand in the order of the hashes of their names, one kind
    after the other, and go to the halves in turn. A half drawn by the hash alone leaves a category of few images
    without any in one half.

    Args:
        groups: n numbers of categories.
        images: n image names or hashes.

    Returns:
        (n,) whether the pair's image is in the second half.

    Raises:
        ValueError: the lengths differ.
    """
    codes = np.asarray(groups, dtype=np.int64)
    if len(codes) != len(images):
        raise ValueError(f"{len(codes)} pairs need one image each, got {len(images)}")
    if not len(codes):
        return np.zeros(0, dtype=bool)
    names, image_of = np.unique(np.asarray(images, dtype=np.str_), return_inverse=True)
    kinds = np.zeros((len(names), int(codes.max()) + 1), dtype=np.int64)
    np.add.at(kinds, (image_of, codes), 1)
    rank = np.empty(len(names), dtype=np.int64)
    rank[hash_order(names.tolist())] = np.arange(len(names))
    in_turn = np.lexsort((rank, *kinds.T))
    second = np.zeros(len(names), dtype=bool)
    second[in_turn[1::2]] = True
    found: BoolArray = second[image_of]
    return found


def why_no_halves(counts: IntArray, groups: Sequence[int]) -> str:
    """Say why an axis has too few images to be divided, or return an empty text.

    Args:
        counts: (G, T) pairs of each image and category.
        groups: the categories of the axis, or of both axes.
    """
    inside = counts[:, list(groups)] > 0
    of_axes = inside.reshape(len(inside), len(groups) // 2, 2).any(axis=2).sum(axis=0)
    few = of_axes.min() < MIN_IMAGES or inside.sum(axis=0).min() < MIN_IMAGES_OF_CATEGORY
    return TOO_FEW_FOR_HALVES if few else ""


def split_reading(
    scores: tuple[Sequence[float], Sequence[float]],
    readings: tuple[Sequence[Statistic], Sequence[Statistic]],
    *,
    reason: str = "",
) -> Split:
    """Read either half at the layer that scores highest on the other, and average.

    The interval is a jackknife over the images of both halves with the layers held fixed; each half's leave-one-outs
    are centered apart, since their layers differ.

    Args:
        scores: of the first and of the second half, L numbers to choose the layer by; NaN = none.
        readings: of the first and of the second half, L statistics over the same G images.
        reason: why there may be no reading (``why_no_halves``).
    """
    first, second = (np.asarray(each, dtype=np.float64) for each in scores)
    n_images = min((each.n_images for half in readings for each in half), default=0)
    if reason or not np.isfinite(first).any() or not np.isfinite(second).any():
        return Split(Estimate(None, n_images, reason=reason or NO_VALUE), None)
    places = int(np.nanargmax(first)), int(np.nanargmax(second))
    read = readings[0][places[1]], readings[1][places[0]]
    reason = next((each.why_no_interval() for each in read if each.why_no_interval()), "")
    if not all(isfinite(each.value) for each in read):
        return Split(Estimate(None, n_images, reason=reason), places)
    value = (read[0].value + read[1].value) / 2
    # Leaving out an image moves the one reading that it is in; only the deviation from that half's mean counts.
    members = read[0].members | read[1].members
    leave_outs = np.full(len(members), value)
    for each in read:
        inside = each.leave_outs[each.members]
        # (G_h - 1) / G_h of the half's own size, where the joint jackknife will apply that of all images.
        n, total = len(inside), int(members.sum())
        factor = np.sqrt(((n - 1) / n) / ((total - 1) / total)) if n > 1 else 0.0
        leave_outs[each.members] = value + factor * (inside - inside.mean()) / 2
    joint = Statistic(
        value=value,
        leave_outs=leave_outs,
        members=members,
        n_images=int(members.sum()) - 1,
        scale=read[0].scale,
        reason=reason,
    )
    return Split(replace(joint.estimate(), n_images=int(members.sum())), places)


def direction_hits(
    vectors: npt.NDArray[Any], canonical: BoolArray, second_half: BoolArray
) -> BoolArray | None:
    """Tell the category of each pair by the axis direction that was fitted on the other half of the images.

    The direction is the difference of the two categories' mean deltas; a pair is a hit where its delta's sign along it
    is that of its category. An interval of their share is about the two directions that were fitted, not about the
    direction of all images.

    Args:
        vectors: (n, D) deltas of one axis, not sign-corrected.
        canonical: (n,) whether the pair is of the canonical category.
        second_half: (n,) as of ``halves``.

    Returns:
        (n,) hits, for ``effective_wilson``; None where a half lacks a category.
    """
    deltas = np.asarray(vectors, dtype=np.float64)
    hits = np.zeros(len(deltas), dtype=bool)
    for half in (False, True):
        fitted, read = second_half != half, second_half == half
        if not (fitted & canonical).any() or not (fitted & ~canonical).any():
            return None
        direction = deltas[fitted & canonical].mean(axis=0) - deltas[fitted & ~canonical].mean(axis=0)
        along: FloatArray = deltas[read] @ direction
        hits[read] = (along > 0) == canonical[read]
    return hits
