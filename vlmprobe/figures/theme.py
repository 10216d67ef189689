"""The colors, marks and labels that all figures share.

Axes and categories bring their colors (those of space: https://jfly.uni-koeln.de/color/), scales have a ramp of others.
Readers with any of the common color deficiencies can tell those of one figure apart. Every color comes with
its own mark, so that a gray print can be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vlmprobe.analysis.catalog import OVERALL, TARGET_TITLES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.typing import LineStyleType

    from vlmprobe.analysis.catalog import Entry
    from vlmprobe.pairs.axes import AxisSet

__all__ = [
    "OVERALL_COLOR",
    "Look",
    "Mark",
    "Named",
    "metric_title",
    "pale",
    "scale_marks",
    "scale_order",
    "short_number",
    "sort_targets",
    "step_color",
    "subset_title",
    "target_look",
    "target_looks",
    "target_title",
]

#: The font that ships with matplotlib, so that a figure looks the same on every machine.
FONT = "DejaVu Sans"
TITLE_SIZE = 11.0
LABEL_SIZE = 9.0
TICK_SIZE = 8.0
SMALL_SIZE = 7.5

INK = "#1a1a1a"
FAINT = "#6b6b6b"
GRID = "#e3e3e3"
NO_DATA = "#f0f0f0"

OVERALL_COLOR = "#000000"
#: Color of control bands, which are drawn behind everything else.
CONTROL_COLOR = "#9a9a9a"

#: The share of white in what is drawn pale.
_PALE = 0.62
#: Far from the ramp in lightness, since for some readers the ramp passes through gray.
_VANILLA = "#333333"
_VANILLA_MARKER = "o"
#: Scales that are not a step of the training, such as a third party's checkpoint: off the ramp, with crosses.
_ASIDE = ("#33BBEE", "#663D00", "#CC3311")
_ASIDE_MARKERS = ("P", "X", "*")
#: Markers of trainings that are not among the usual steps.
_OTHER_MARKERS = ("<", ">", "p", "h")
_FAMILY_LINES: tuple[LineStyleType, ...] = ("-", "--", ":", "-.")
#: Stretch of plasma that stands out on white; from light (little training) to dark (much).
_RAMP = (0.78, 0.2)
#: Samples seen, with their place on the ramp and their mark. A scale looks the same in every figure, whatever
#: is drawn beside it.
_RAMP_STEPS = {80_000: 0.0, 400_000: 1 / 3, 800_000: 2 / 3, 2_000_000: 1.0}
#: The ramp at these places, so that naming the usual steps' colors needs no matplotlib.
_STEP_COLORS = dict(zip(_RAMP_STEPS.values(), ("#fb9f3a", "#de6164", "#ae2892", "#6a00a8"), strict=True))
_STEP_MARKERS = dict(zip(_RAMP_STEPS, "s^Dv", strict=True))
#: Places nearer to each other than this look alike.
_RAMP_GAP = 0.1

_THOUSANDS = (("m", 1_000_000), ("k", 1_000))
_SUBSETS = {"all": "all pairs", "both_correct": "pairs with both answers right"}


@dataclass(frozen=True, slots=True)
class Look:
    """How a category, an axis or another target is drawn, in every figure."""

    color: str
    marker: str
    linestyle: LineStyleType


#: Lines that are neither a category nor an axis: hues of neither, and each with its own line style.
_OTHER_LOOKS = (
    Look("#6A51A3", "o", "-"),
    Look("#8C6D00", "D", "--"),
    Look("#AA3377", "P", "-."),
    Look("#000000", "v", ":"),
    Look("#5FB0C9", "X", "-"),
)


class Named(Protocol):
    """Anything that belongs to a checkpoint."""

    @property
    def family(self) -> str:
        """The architecture."""

    @property
    def scale(self) -> str:
        """The checkpoint's name."""

    @property
    def samples_seen(self) -> int | None:
        """Training samples; None = no step of the training."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How the lines of one checkpoint look."""

    label: str
    color: str
    marker: str
    linestyle: LineStyleType
    index: int
    """Place in the order of training."""


def scale_order(item: Named) -> tuple[bool, int, str, str]:
    """Sort key: the untrained checkpoint, then by samples seen, then checkpoints outside the training."""
    return item.samples_seen is None, item.samples_seen or 0, item.scale, item.family


def scale_marks(items: Iterable[Named]) -> dict[tuple[str, str], Mark]:
    """Assign each (family, scale) its look, in the order of training.

    Color shows the amount of training: dark gray for none, then a ramp from light to dark, and separate hues
    for checkpoints that are not a step of it. With several families, the line style tells them apart.
    """
    ordered = sorted({(item.family, item.scale): item for item in items}.values(), key=scale_order)
    families = list(dict.fromkeys(sorted(item.family for item in ordered)))
    scales = list(dict.fromkeys((item.samples_seen, item.scale) for item in ordered))
    places = _ramp_places([scale[0] for scale in scales if scale[0]])
    aside = [scale for scale in scales if scale[0] is None]
    others = [scale for scale in scales if scale[0] and scale[0] not in _STEP_MARKERS]

    def marker(scale: tuple[int | None, str]) -> str:
        if scale[0] is None:
            return _ASIDE_MARKERS[aside.index(scale) % len(_ASIDE_MARKERS)]
        if scale in others:
            return _OTHER_MARKERS[others.index(scale) % len(_OTHER_MARKERS)]
        return _STEP_MARKERS.get(scale[0], _VANILLA_MARKER)

    def color(scale: tuple[int | None, str]) -> str:
        if scale[0] is None:
            return _ASIDE[aside.index(scale) % len(_ASIDE)]
        if scale[0] == 0:
            return _VANILLA
        place = places[scale[0]]
        return _STEP_COLORS.get(place) or ramp_color(place)

    marks = {}
    for index, item in enumerate(ordered):
        scale = (item.samples_seen, item.scale)
        marks[item.family, item.scale] = Mark(
            label=item.scale if len(families) == 1 else f"{item.family} @ {item.scale}",
            color=color(scale),
            marker=marker(scale),
            linestyle=_FAMILY_LINES[families.index(item.family) % len(_FAMILY_LINES)],
            index=index,
        )
    return marks


def step_color(samples_seen: int | None) -> str | None:
    """Return the color of one of the usual amounts of training, the same in every figure; None for others."""
    if samples_seen == 0:
        return _VANILLA
    return _STEP_COLORS[_RAMP_STEPS[samples_seen]] if samples_seen in _RAMP_STEPS else None


def ramp_color(place: float) -> str:
    """Return the color at a place from 0 (little training) to 1 (much)."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    first, last = _RAMP
    return to_hex(colormaps["plasma"](first + (last - first) * place))


def _ramp_places(samples_seen: Iterable[int]) -> dict[int, float]:
    """Return each training's place on the ramp: among the usual steps by its logarithm; evenly if two look alike."""
    import numpy as np

    counts = sorted(set(samples_seen))
    steps = np.log([float(step) for step in _RAMP_STEPS])
    places = np.interp(np.log([float(count) for count in counts]), steps, list(_RAMP_STEPS.values()))
    if len(counts) > 1 and np.diff(places).min() < _RAMP_GAP:
        places = np.linspace(0.0, 1.0, len(counts))
    return dict(zip(counts, places.tolist(), strict=True))


def short_number(count: int) -> str:
    """Return a number of samples as people write it: 400k, 2m."""
    for letter, size in _THOUSANDS:
        if count >= size:
            return f"{count / size:g}{letter}"
    return str(count)


def metric_title(entry: Entry, subset: str) -> str:
    """Return the heading of a metric's figure: its title, and the pairs it was computed over."""
    return f"{entry.title}: {subset_title(subset)}"


def subset_title(subset: str) -> str:
    """Return a subset's title for a figure."""
    return _SUBSETS.get(subset, subset)


def target_title(target: str, axes: AxisSet) -> str:
    """Return the title of a target's panel; an axis is shown with its two categories."""
    if target in axes:
        return f"{target} ({'/'.join(axes.axis(target).categories)})"
    statistic, _, part = target.partition("/")
    if statistic in TARGET_TITLES:
        return f"{TARGET_TITLES[statistic]}, {part}" if part else TARGET_TITLES[statistic]
    return target.replace("_", " ")


def target_look(target: str, axes: AxisSet, place: int = 0) -> Look:
    """Return the look of a category, an axis or ``overall``; others get a look by their place.

    The line of a canonical category or an axis is solid, that of an opposite category dashed.
    """
    if target in axes:
        axis = axes.axis(target)
        return Look(axis.color, axis.marker, "-")
    if target in axes.categories:
        category = axes.category(target)
        return Look(category.color, category.axis.marker, "-" if category.is_canonical else "--")
    if target == OVERALL:
        return Look(OVERALL_COLOR, "D", "--")
    return _OTHER_LOOKS[place % len(_OTHER_LOOKS)]


def target_looks(targets: Iterable[str], axes: AxisSet) -> dict[str, Look]:
    """Return the look of each target of one figure."""
    looks: dict[str, Look] = {}
    others = 0
    for target in targets:
        looks[target] = target_look(target, axes, others)
        others += target not in {*axes, *axes.categories, OVERALL}
    return looks


def pale(color: str, white: float = _PALE) -> str:
    """Mix a color with white, for values that are drawn but unreliable."""
    from matplotlib.colors import to_hex, to_rgb

    red, green, blue = (part + (1.0 - part) * white for part in to_rgb(color))
    return to_hex((red, green, blue))


def sort_targets(targets: Iterable[str], axes: AxisSet) -> list[str]:
    """Put targets in the order of axes, categories or statistics; others stay in the order they came in."""
    known = {str(name): place for place, name in enumerate([*axes, *axes.categories, *TARGET_TITLES])}
    unique = list(dict.fromkeys(targets))
    return sorted(unique, key=lambda name: known.get(name, len(known) + unique.index(name)))
