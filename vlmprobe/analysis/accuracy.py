"""Accuracy of the answers: by perspective, and whether it is high enough to interpret a category's states."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.analysis import catalog
from vlmprobe.analysis.deltas import category_codes
from vlmprobe.analysis.inference.proportions import effective_wilson, share_gap
from vlmprobe.analysis.results import Metric
from vlmprobe.pairs.axes import SPACE, Subset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.analysis.entries import Entry
    from vlmprobe.analysis.inference.estimate import Estimate
    from vlmprobe.pairs.axes import AxisSet, Category

__all__ = ["RELIABLE_FROM", "CategoryValidity", "category_validity", "perspective_accuracy"]

#: Chance, for a question with two answers.
RELIABLE_FROM = 0.5


@dataclass(frozen=True, slots=True)
class CategoryValidity:
    """Accuracy of one category on either side; NaN and None where it has no pairs."""

    n: int
    acc_orig: float
    acc_swap: float
    reliable: bool | None
    """Whether both sides are at least at chance; below it, the states may encode something else."""


def category_validity(
    categories: Sequence[str],
    correct_orig: Sequence[bool],
    correct_swap: Sequence[bool],
    axes: AxisSet = SPACE,
) -> dict[Category, CategoryValidity]:
    """Check for each category whether the model answers it at least as well as chance.

    Args:
        categories: N category names.
        correct_orig: N flags, whether the original question was answered right.
        correct_swap: N flags, the same for the swapped question.
        axes: the set that the categories are of.

    Raises:
        ValueError: a name is no category, or the lengths differ.
    """
    codes = category_codes(categories, axes)
    orig, swap = np.asarray(correct_orig, dtype=bool), np.asarray(correct_swap, dtype=bool)
    if not len(codes) == len(orig) == len(swap):
        raise ValueError(f"{len(codes)} categories need one flag each, got {len(orig)} and {len(swap)}")
    validity = {}
    for code, category in enumerate(axes.categories):
        rows = codes == code
        n = int(rows.sum())
        acc_orig, acc_swap = (float(side[rows].mean()) if n else nan for side in (orig, swap))
        reliable = min(acc_orig, acc_swap) >= RELIABLE_FROM if n else None
        validity[category] = CategoryValidity(n, acc_orig, acc_swap, reliable)
    return validity


def perspective_accuracy(
    correct: Sequence[bool], perspectives: Sequence[str], images: Sequence[str]
) -> list[Metric]:
    """Compare accuracy on consistent and counter pairs: ``accuracy.perspective``, and the ``consistent_share``.

    A model that takes higher for farther is right where perspective agrees, and wrong where it lies: the gap is what
    the question of the method is about. Bounds count images; see ``effective_wilson`` and ``share_gap``.

    Args:
        correct: N flags, such as whether both questions of a pair were answered right.
        perspectives: N names; pairs that are neither consistent nor counter are left out.
        images: N image names or hashes.

    Returns:
        Nothing if no pair is consistent or counter; otherwise every target, NaN with the reason where one is missing.
    """
    kinds = np.asarray(perspectives, dtype=np.str_)
    kept = np.isin(kinds, (catalog.CONSISTENT, catalog.COUNTER))
    right, names = np.asarray(correct, dtype=bool)[kept], np.asarray(images, dtype=np.str_)[kept]
    first = kinds[kept] == catalog.CONSISTENT
    if not kept.any():
        return []
    sides = [effective_wilson(right[kind].tolist(), names[kind].tolist()) for kind in (first, ~first)]
    found = [*sides, share_gap(right.tolist(), first.tolist(), names.tolist())]
    counts = [int(first.sum()), int((~first).sum()), len(first)]
    targets = catalog.ACCURACY_PERSPECTIVE.targets(SPACE)
    metrics = [
        _metric(catalog.ACCURACY_PERSPECTIVE, target, estimate, n)
        for target, estimate, n in zip(targets, found, counts, strict=True)
    ]
    share = _metric(catalog.CONSISTENT_SHARE, catalog.CONSISTENT_SHARE.targets(SPACE)[0], None, len(first))
    return [*metrics, replace(share, value=float(first.mean()), n_images=len(set(names.tolist())))]


def _metric(entry: Entry, target: str, estimate: Estimate | None, n: int) -> Metric:
    value = nan if estimate is None or estimate.value is None else estimate.value
    metric = Metric(entry.name, entry.version, str(Subset.ALL), target, -1, value, None, n)
    if estimate is None:
        return metric
    return replace(
        metric,
        ci_low=estimate.ci_low,
        ci_high=estimate.ci_high,
        n_images=estimate.n_images,
        reason=estimate.reason or None,
    )
