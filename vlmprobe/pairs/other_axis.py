"""A question about another axis: the same picture and the same two objects, and nothing about the pair's relation.

What exchanged pictures do to a state under such a question is no trace of the relation that was reversed (Null 1 of
the verdicts in ``analysis/controls``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vlmprobe.errors import UsageError
from vlmprobe.pairs.prompts import get_template

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.pairs.axes import Axis, AxisSet
    from vlmprobe.pairs.dataset import Dataset
    from vlmprobe.pairs.swap_pair import SwapPair

__all__ = ["ask_other_axis", "other_axes"]


def other_axes(axes: AxisSet) -> dict[Axis, Axis]:
    """Return for each axis the one that is asked about instead: the first of the set; for the first, the second.

    Raises:
        UsageError: there is one axis alone.
    """
    if len(axes) < 2:
        raise UsageError(
            f"there is no other axis to ask about: the benchmark has {next(iter(axes))} alone, and needs two axes"
        )
    first, second = axes.axes[:2]
    return {axis: second if axis == first else first for axis in axes}


def ask_other_axis(dataset: Dataset) -> Dataset:
    """Return the same rows with every question about another axis, in the words of the dataset's template.

    Raises:
        UsageError: there is one axis alone.
        ValueError: the template's answers are words of an axis; those of ``yes-no`` and ``yes-no-opposite`` are not.
    """
    template, others = get_template(dataset.template), other_axes(dataset.axes)

    def asked(pairs: Sequence[SwapPair]) -> tuple[SwapPair, ...]:
        return tuple(template.reword_about(pair, others[pair.axis]) for pair in pairs)

    return replace(dataset, pairs=asked(dataset.pairs), made=asked(dataset.made))
