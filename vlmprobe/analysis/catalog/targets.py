"""What metrics are of: categories, axes, pairs of either, statistics, and what they are compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.analysis.entanglement import axis_pairs, category_pairs
from vlmprobe.analysis.entries import Control
from vlmprobe.pairs.axes import DEPTH

if TYPE_CHECKING:
    from vlmprobe.pairs.axes import AxisSet

__all__ = [
    "CONSISTENT",
    "COUNTER",
    "CROSSING",
    "GAP",
    "NULLS",
    "OF_MEANS",
    "OVERALL",
    "PER_SAMPLE",
    "RANDOM_SIGNS",
    "SHUFFLED",
    "TARGET_TITLES",
    "axes_and_overall",
    "controls_of_axis_pair",
    "each_axis",
    "each_axis_pair",
    "each_category",
    "each_category_pair",
    "each_pair_with_depth",
    "vd_ei_alone",
]


def each_axis(axes: AxisSet) -> tuple[str, ...]:
    """Return the axes."""
    return tuple(map(str, axes))


def axes_and_overall(axes: AxisSet) -> tuple[str, ...]:
    """Return the targets of accuracy by axis, in the order of all tables and figures."""
    return (*each_axis(axes), OVERALL)


def each_category(axes: AxisSet) -> tuple[str, ...]:
    """Return the categories."""
    return tuple(map(str, axes.categories))


def each_category_pair(axes: AxisSet) -> tuple[str, ...]:
    """Return every two categories, once."""
    return tuple("/".join(pair) for pair in category_pairs(axes))


def each_axis_pair(axes: AxisSet) -> tuple[str, ...]:
    """Return height and depth, then the pairs of axes that serve as controls."""
    return tuple("/".join(pair) for pair in axis_pairs(axes))


def each_pair_with_depth(axes: AxisSet) -> tuple[str, ...]:
    """Return those of ``each_axis_pair`` that depth is in."""
    return tuple("/".join(pair) for pair in axis_pairs(axes) if pair[1] == DEPTH)


def vd_ei_alone(axes: AxisSet) -> tuple[str, ...]:
    """Return VD-EI without its controls."""
    return each_axis_pair(axes)[:1]


def controls_of_axis_pair(axes: AxisSet) -> tuple[str, ...]:
    """Return the controls alone."""
    return each_axis_pair(axes)[1:]


#: The target for all axes together.
OVERALL = "overall"
PER_SAMPLE, OF_MEANS = "per_sample", "of_means"
TARGET_TITLES = {PER_SAMPLE: "mean over quads", OF_MEANS: "cosine of the means"}
SHUFFLED, RANDOM_SIGNS = "shuffled", "random_signs"
#: Targets that hold the mean and spread of null draws, in which there is no effect.
NULLS = (SHUFFLED, RANDOM_SIGNS)
CONSISTENT, COUNTER = "consistent", "counter"
#: Consistent minus counter.
GAP = "gap"

#: The control of VD-EI: perspective entangles no pair of axes that includes a third one.
CROSSING = Control(controls_of_axis_pair, "control")
