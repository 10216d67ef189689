"""A run beside its control, axis by axis: how much more coherent it is, and what is left without the control's vectors.

Two questions that have two answers:

* Is the run more coherent than its control? The paired difference of ``axis_coherence.balanced``. Where the control has
  an axis of its own that points elsewhere, the difference may be 0 although the run's axis is its own.
* Does seeing add an axis? Per pair the control's delta is subtracted from the run's, as vectors, and |alpha|^2 of what
  is left is estimated. What both have in common (the words, the order of the question) cancels, whatever its size. The
  axis is *also in the controls* unless the lower bound is above 0.

A control without a significant axis is no evidence that the run's axis is real: it may have too few pairs. So nothing
is tested here, and the bound decides. Both count images: an image is left out of the run and of the control at once.

Two networks have no coordinates in common, so vectors are not subtracted from those of random weights. Exchanged labels
have the run's own vectors, so there is nothing to subtract either.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.analysis.catalog import DELTA_ABOVE_CONTROL
from vlmprobe.analysis.deltas import check_shapes
from vlmprobe.analysis.difference import NO_TEST, Difference
from vlmprobe.analysis.geometry import (
    Layout,
    axis_size,
    balanced_coherence,
    sums_of_swaps,
    sums_of_vectors,
)
from vlmprobe.analysis.inference import Estimate, LabelPermutations, contrast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmprobe.analysis.comparison import Geometry, SharedPairs, States
    from vlmprobe.analysis.geometry import Products
    from vlmprobe.analysis.inference import Statistic

__all__ = [
    "NO_COORDINATES",
    "SAME_VECTORS",
    "AboveControl",
    "above_control",
    "above_shuffled_labels",
    "differences_above_control",
    "exchanged_labels",
]

NO_COORDINATES = "two networks have no coordinates in common, so their vectors are not subtracted"
SAME_VECTORS = "exchanged labels leave the vectors as they are, so there is nothing to subtract"


@dataclass(frozen=True, slots=True)
class AboveControl:
    """One axis of a run beside the same axis of its control."""

    axis: str
    n: int
    """Pairs of the axis that both have."""
    coherence: Estimate
    """``axis_coherence.balanced`` of the run."""
    of_control: Estimate
    """The same of the control."""
    difference: Estimate
    """Run minus control, paired over images."""
    size: Estimate
    """|alpha|^2 of the deltas minus the control's, in the squared unit of the states; else the reason why not."""
    own_size: Estimate
    """|alpha|^2 of the run itself, in the same unit."""

    @property
    def adds_an_axis(self) -> bool | None:
        """Whether what is left without the control has an axis: its lower bound is above 0. None: not known."""
        return None if self.size.ci_low is None else self.size.ci_low > 0


def above_control(
    run: States, control: States, pairs: SharedPairs, *, same_coordinates: bool = True
) -> list[AboveControl]:
    """Hold one layer of a run against the same layer of a control over the same pairs.

    Args:
        run: (N, D) states of the original and of the swapped questions, any float dtype.
        control: the same of the control, pair by pair.
        pairs: the N pairs.
        same_coordinates: whether vectors may be subtracted: it is the same network, shown something else.

    Returns:
        A row for each axis.

    Raises:
        ValueError: the shapes differ, or there are not N rows.
    """
    for states in (run, control):
        check_shapes(*states)
    if same_coordinates and run[0].shape != control[0].shape:
        raise ValueError(
            f"states of a run and its control must have one shape, got {run[0].shape} and {control[0].shape}"
        )
    layout = pairs.layout()
    of_run, of_control = sums_of_swaps(*run, layout), sums_of_swaps(*control, layout)
    left = None
    if same_coordinates:
        # In float64 before anything is subtracted: states of half precision are close together.
        first, second = (np.subtract(swap, orig, dtype=np.float64) for orig, swap in (run, control))
        left = sums_of_vectors(first - second, layout).raw.products()
    units = of_run.units.products(), of_control.units.products()
    return _rows(pairs, *units, of_run.raw.products(), left, NO_COORDINATES)


def above_shuffled_labels(run: States, pairs: SharedPairs, *, seed: int) -> list[AboveControl]:
    """Hold one layer of a run against itself with the category labels of each axis exchanged among its images, once.

    Pairs of one image keep together, as in the test of an axis (:class:`LabelPermutations`). The draw counts as fixed
    in the interval. The p-value of an axis is the same comparison over thousands of draws.

    Args:
        run: (N, D) states of the original and of the swapped questions.
        pairs: the N pairs.
        seed: of the draw.
    """
    layout, reasons = exchanged_labels(pairs, seed=seed)
    sums = sums_of_swaps(*run, pairs.layout())
    exchanged = sums_of_swaps(*run, layout).units.products()
    rows = _rows(pairs, sums.units.products(), exchanged, sums.raw.products(), None, SAME_VECTORS)
    return [_without(row, reasons[place]) for place, row in enumerate(rows)]


def differences_above_control(
    runs: tuple[Geometry, Geometry],
    controls: tuple[Geometry, Geometry],
    kind: str,
    counts: Mapping[str, int],
) -> list[Difference]:
    """Compare how far two runs are above their controls in coherence: (B - control of B) - (A - control of A).

    An image is left out of all four at once. There is no test: that of the runs themselves stands beside it.

    Args:
        runs: the earlier and the later one.
        controls: theirs, of one kind, on the same pairs in the same layers.
        kind: of the controls, as it is stored.
        counts: pairs of each axis (``SharedPairs.counts``).
    """
    found = []
    for axis in runs[0].coherence:
        before, after = (each.coherence[axis] for each in runs)
        below, above = (each.coherence[axis] for each in controls)
        difference = contrast([before, below, after, above], (-1, 1, 1, -1))
        found.append(
            Difference(
                DELTA_ABOVE_CONTROL,
                axis,
                difference.estimate(),
                None,
                NO_TEST,
                counts[axis],
                before=_known(before.value - below.value),
                after=_known(after.value - above.value),
                control=kind,
                control_before=_known(below.value),
                control_after=_known(above.value),
                of_controls=(below.estimate(), above.estimate()),
            )
        )
    return found


def _known(value: float) -> float | None:
    return value if isfinite(value) else None


def _rows(
    pairs: SharedPairs, run: Products, control: Products, raw: Products, left: Products | None, why_not: str
) -> list[AboveControl]:
    counts, found = pairs.counts(), []
    for place, axis in enumerate(map(str, pairs.axes)):
        own, theirs = balanced_coherence(run, place), balanced_coherence(control, place)
        none = Estimate(None, own.n_images, reason=why_not)
        size = none if left is None else axis_size(left, place).estimate()
        found.append(
            AboveControl(
                axis,
                counts[axis],
                own.estimate(),
                theirs.estimate(),
                _difference(own, theirs),
                size,
                axis_size(raw, place).estimate(),
            )
        )
    return found


def _difference(own: Statistic, theirs: Statistic) -> Estimate:
    found = contrast([own, theirs], (1, -1)).estimate()
    if own.reason != theirs.reason:
        which = "control" if theirs.reason else "run"
        return replace(found, reason=f"{which}: {theirs.reason or own.reason}")
    return found


def exchanged_labels(pairs: SharedPairs, *, seed: int) -> tuple[Layout, list[str]]:
    """Return the layout with the labels of each axis exchanged, once, and of each axis why they cannot be.

    Args:
        pairs: the N pairs.
        seed: of the draw.
    """
    layout = pairs.layout()
    groups, reasons = layout.groups, []
    exchanged = groups.copy()
    for place, _ in enumerate(pairs.axes):
        inside = np.flatnonzero(groups // 2 == place)
        labels = LabelPermutations(
            groups[inside] % 2 == 0,
            [pairs.images[each] for each in inside],
            [pairs.pair_ids[each] for each in inside],
            seed=seed,
        )
        reasons.append(labels.reason)
        if not labels.reason:
            exchanged[inside] = 2 * place + ~labels.draw(1)[0]
    return Layout(exchanged, pairs.images, layout.n_groups), reasons


def _without(row: AboveControl, reason: str) -> AboveControl:
    """Drop the control's part of a row where its labels could not be exchanged."""
    if not reason:
        return row
    none = Estimate(None, row.coherence.n_images, reason=reason)
    return replace(row, of_control=none, difference=none)
