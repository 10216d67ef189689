"""Marks categories whose answers are too inaccurate for their hidden states to be interpreted.

The variant ``all_with_validity`` of a figure draws them pale and marks them, with a line in the legend.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from vlmprobe.errors import unknown_name
from vlmprobe.figures import frame, theme

if TYPE_CHECKING:
    from matplotlib.artist import Artist

    from vlmprobe.analysis.results import LayerCurve
    from vlmprobe.pairs.axes import AxisSet

__all__ = ["Unreliable"]

#: (family, scale) -> the categories with a side that is right less than half of the time.
Unreliable = Mapping[tuple[str, str], Collection[str]]

#: Appended to a name, and the shape of a mark.
CROSS = "\N{MULTIPLICATION SIGN}"
NOTE = f"pale, {CROSS}: answered correctly\nless than half the time"


def faded_categories(unreliable: Unreliable | None, axes: AxisSet, family: str, scale: str) -> frozenset[str]:
    """Return the categories of one scale that are drawn pale.

    Raises:
        UsageError: a name among them is no category.
    """
    names = frozenset(str(name) for name in (unreliable or {}).get((family, scale), ()))
    for name in sorted(names - set(axes.categories)):
        raise unknown_name("category", name, [str(category) for category in axes.categories])
    return names


def is_faded(unreliable: Unreliable | None, axes: AxisSet, family: str, scale: str, target: str) -> bool:
    """Whether a target is an unreliable category, or an axis or a combination that includes one."""
    names = faded_categories(unreliable, axes, family, scale)
    for part in target.split("/"):
        members = {*axes.axis(part).categories} if part in axes else {part}
        if members & names:
            return True
    return False


def any_faded(unreliable: Unreliable | None, axes: AxisSet, curves: Iterable[LayerCurve]) -> bool:
    """Whether one of these curves is drawn pale, because its target is unreliable and it has data."""
    return any(
        is_faded(unreliable, axes, curve.family, curve.scale, curve.target)
        and any(math.isfinite(value) for value in curve.values)
        for curve in curves
    )


def handle(*, line: bool = True) -> Artist:
    """Return the legend entry that explains pale lines or pale marks."""
    mark = {"marker": "x", "markersize": 5.0, "markeredgewidth": 1.2}
    style = "-" if line else "none"
    return frame.line_handle(NOTE, color=theme.pale(theme.INK), linewidth=1.6, linestyle=style, **mark)
