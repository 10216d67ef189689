"""Two checkpoints or more on the same pairs: differences of accuracy, coherence and VD-EI, and their trend.

All is paired. Of geometry an image is left out of both checkpoints at once, and the test is the paired jackknife t. An
exchange of the two checkpoints within an image would be no valid test of it (:func:`paired_t` says why). Accuracy is
tested exactly (McNemar) where every image has one pair, else by a t over images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis import catalog
from vlmprobe.analysis.deltas import category_codes
from vlmprobe.analysis.difference import CLUSTERED_T, MCNEMAR, NO_TEST, PAIRED_T, Difference
from vlmprobe.analysis.entanglement import axis_pairs
from vlmprobe.analysis.geometry import (
    Layout,
    axis_effect,
    balanced_coherence,
    corrected_cosine,
    sums_of_swaps,
    sums_of_two_runs,
)
from vlmprobe.analysis.inference import (
    Contrast,
    contrast,
    contrast_of_sizes,
    paired_difference,
    paired_p_value,
)
from vlmprobe.pairs.axes import DEPTH, SPACE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import BoolArray
    from vlmprobe.analysis.entries import Entry
    from vlmprobe.analysis.inference import Statistic
    from vlmprobe.pairs.axes import AxisSet

    #: (N, D) states of the original and of the swapped questions.
    States = tuple[npt.NDArray[Any], npt.NDArray[Any]]

__all__ = [
    "Geometry",
    "SharedPairs",
    "accuracy_differences",
    "are_alike",
    "axis_cosines",
    "geometry_differences",
    "no_pair",
    "read_geometry",
]


@dataclass(frozen=True, slots=True)
class SharedPairs:
    """N pairs that all of the compared runs answered, in one order."""

    pair_ids: tuple[str, ...]
    categories: tuple[str, ...]
    images: tuple[str, ...]
    """Names or hashes; pairs about one image are not independent."""
    perspectives: tuple[str | None, ...]
    axes: AxisSet = SPACE

    def layout(self) -> Layout:
        """Return the layout of the pairs, a group for each category."""
        return Layout(category_codes(self.categories, self.axes), self.images, len(self.axes.categories))

    def groups(self) -> dict[str, BoolArray]:
        """Return the (N,) pairs of each target of accuracy: the axes, all, and distance by perspective."""
        axis_of = category_codes(self.categories, self.axes) // 2
        found = {str(axis): axis_of == place for place, axis in enumerate(self.axes)}
        found[catalog.OVERALL] = np.ones(len(axis_of), dtype=bool)
        if DEPTH in self.axes:
            perspectives = np.array([each or "" for each in self.perspectives], dtype=np.str_)
            for name in (catalog.CONSISTENT, catalog.COUNTER):
                found[f"{DEPTH}/{name}"] = found[DEPTH] & (perspectives == name)
        return found

    def counts(self) -> dict[str, int]:
        """Return the pairs of each axis, and of each pair of axes."""
        axis_of = category_codes(self.categories, self.axes) // 2
        of_axis = {str(axis): int((axis_of == place).sum()) for place, axis in enumerate(self.axes)}
        return of_axis | {
            "/".join(both): sum(of_axis[axis] for axis in both) for both in axis_pairs(self.axes)
        }


def accuracy_differences(before: BoolArray, after: BoolArray, pairs: SharedPairs) -> list[Difference]:
    """Compare which pairs have both answers right, for each axis, overall, and distance by perspective.

    Args:
        before: (N,) whether the earlier checkpoint has both answers of the pair right.
        after: (N,) the same of the later one.
        pairs: the N pairs.
    """
    images, found = np.array(pairs.images, dtype=np.str_), []
    for target, inside in pairs.groups().items():
        first, second, of_group = before[inside], after[inside], images[inside].tolist()
        n = len(first)
        estimate = paired_difference(first, second, of_group)
        if not n:
            estimate = replace(estimate, reason=no_pair(target))
        found.append(
            Difference(
                catalog.DELTA_ACCURACY,
                target,
                estimate,
                paired_p_value(first, second, of_group),
                MCNEMAR if len(set(of_group)) == n else CLUSTERED_T,
                n,
                float(first.mean()) if n else None,
                float(second.mean()) if n else None,
                int((second & ~first).sum()),
                int((first & ~second).sum()),
                alike=are_alike([first, second]),
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class Geometry:
    """One layer of one run on the shared pairs."""

    coherence: Mapping[str, Statistic]
    """Of each axis."""
    angles: Mapping[str, Statistic]
    """VD-EI and its controls: the cosine of each pair of axes."""


def read_geometry(states: States, layout: Layout, axes: AxisSet) -> Geometry:
    """Estimate balanced coherence and corrected angles of one layer.

    Args:
        states: of the N shared pairs, any float dtype.
        layout: of these pairs.
        axes: the set that the groups are of.
    """
    sums = sums_of_swaps(*states, layout)
    units, raw = sums.units.products(), sums.raw.products()
    place = {str(axis): number for number, axis in enumerate(axes)}
    return Geometry(
        {axis: balanced_coherence(units, number) for axis, number in place.items()},
        {
            "/".join(both): corrected_cosine(raw, *(axis_effect(place[axis]) for axis in both))
            for both in axis_pairs(axes)
        },
    )


def geometry_differences(before: Geometry, after: Geometry, counts: Mapping[str, int]) -> list[Difference]:
    """Compare coherence by axis, and VD-EI with its controls: the cosines, and their sizes.

    Args:
        before: the earlier checkpoint.
        after: the later one, on the same pairs.
        counts: pairs of each target (``SharedPairs.counts``).
    """
    found = [
        _difference(catalog.DELTA_COHERENCE, target, first, after.coherence[target], counts)
        for target, first in before.coherence.items()
    ]
    for entry in (catalog.DELTA_VD_EI, catalog.DELTA_VD_EI_SIZE):
        found += [
            _difference(entry, target, first, after.angles[target], counts)
            for target, first in before.angles.items()
        ]
    return found


def axis_cosines(before: States, after: States, layout: Layout, axes: AxisSet) -> list[Difference]:
    """Return the cosine of each axis in one checkpoint and in the other, less the noise of both.

    It has no p-value: that it is not 0 says little, and whether it is 1 its interval tells.

    Raises:
        ValueError: the states of the two have different shapes.
    """
    raw = sums_of_two_runs(before, after, layout).raw.products()
    found = []
    for place, axis in enumerate(axes):
        cosine = corrected_cosine(raw, axis_effect(place), axis_effect(place + len(axes)))
        n = int((layout.groups // 2 == place).sum())
        found.append(Difference(catalog.AXIS_COSINE, str(axis), cosine.estimate(), None, NO_TEST, n))
    return found


def _difference(
    entry: Entry, target: str, before: Statistic, after: Statistic, counts: Mapping[str, int]
) -> Difference:
    of_sizes = entry is catalog.DELTA_VD_EI_SIZE
    difference = (
        contrast_of_sizes([before, after], (-1, 1))
        if of_sizes
        else Contrast((contrast([before, after], (-1, 1)),))
    )
    estimate = difference.estimate()
    if before.reason != after.reason:
        which = "later" if after.reason else "earlier"
        estimate = replace(estimate, reason=f"{which} checkpoint: {after.reason or before.reason}")
    values = [abs(each.value) if of_sizes else each.value for each in (before, after)]
    first, second = (value if isfinite(value) else None for value in values)
    return Difference(
        entry,
        target,
        estimate,
        difference.p_value(),
        PAIRED_T,
        counts[target],
        before=first,
        after=second,
    )


def are_alike(answers: Sequence[BoolArray]) -> bool:
    """Whether all answers of all checkpoints are right, or all wrong; some pairs at least."""
    return len(np.unique(np.stack(answers))) == 1


def no_pair(target: str) -> str:
    """Say why a target of accuracy has no pair."""
    of_perspective = "/" in target
    return "no such pair; perspective comes from --boxes" if of_perspective else "no pair of this axis"
