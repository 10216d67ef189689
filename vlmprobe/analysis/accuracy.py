"""Accuracy of the answers, and whether it is high enough to interpret a category's states."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.analysis.deltas import category_codes
from vlmprobe.pairs.axes import SPACE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.pairs.axes import AxisSet, Category

__all__ = ["RELIABLE_FROM", "CategoryValidity", "category_validity"]

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
