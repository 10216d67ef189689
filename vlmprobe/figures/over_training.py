"""Shared parts of figures with training on x: the place of a scale, its tick label, and the series.

The axis is symmetric-logarithmic in the samples seen: linear from the untrained checkpoint at 0 to the
smallest number, which is one decade, and logarithmic from there on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from vlmprobe.figures import frame, many_scales, theme

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.typing import LineStyleType

    from vlmprobe.analysis.results import AccuracyPoint
    from vlmprobe.figures.theme import Look, Named

__all__ = ["LABEL", "Reading", "accuracy_reading", "draw", "handle", "positions"]

LABEL = "training samples seen (log scale)"
#: Decades of the x axis between neighbors that their numbers of samples do not separate.
_STEP = 0.45


@dataclass(frozen=True, slots=True)
class Reading:
    """One number of one scale, ready to draw; NaN is a gap, and NaN bounds are no bar."""

    family: str
    scale: str
    samples_seen: int | None
    series: str
    value: float
    low: float = math.nan
    high: float = math.nan
    hollow: bool = False
    """Whether to draw a hollow mark, because the value is unreliable."""

    @property
    def bar(self) -> tuple[float, float]:
        """How far the bar reaches below and above the value; NaN where there is none."""
        if not math.isfinite(self.high - self.low):
            return math.nan, math.nan
        # Wilson bounds of 0 or all right may fall on the wrong side of the value by rounding.
        return max(0.0, self.value - self.low), max(0.0, self.high - self.value)


def accuracy_reading(point: AccuracyPoint, side: str, *, bars: bool = True) -> Reading:
    """Return one side's accuracy, with its bounds if ``bars``."""
    low, high = (getattr(point, f"{side}_{end}") if bars else math.nan for end in ("low", "high"))
    where = point.family, point.scale, point.samples_seen, point.target
    return Reading(*where, getattr(point, side), low, high, hollow=point.reliable is False)


def positions(items: Iterable[Named]) -> dict[str, float]:
    """Place each scale of one family on x, in decades; scales that share a number stand side by side."""
    ordered = sorted({item.scale: item for item in items}.values(), key=theme.scale_order)
    smallest = min((item.samples_seen for item in ordered if item.samples_seen), default=1)
    places: dict[str, float] = {}
    last = -math.inf
    for item in ordered:
        if item.samples_seen is None:
            place = last + _STEP if places else 0.0
        elif item.samples_seen == 0:
            place = 0.0
        else:
            place = 1.0 + math.log10(item.samples_seen / smallest)
        if place <= last:
            place = last + _STEP / 2
        places[item.scale] = last = place
    return places


def draw(panel: Axes, readings: Sequence[Reading], looks: Mapping[str, Look], *, brief: bool = False) -> None:
    """Draw the series of one family with their bars, and the x axis below them.

    Checkpoints whose samples are unknown stand right of a dotted line, unconnected. The series of one scale
    are set a little apart, so that their bars can be told apart.

    Args:
        panel: dressed, and without readings of another family.
        readings: a value a (scale, series); at least one.
        looks: how each series looks, in the order in which they stand side by side.
        brief: write the scales' names only, for a panel too narrow for more.
    """
    places = positions(readings)
    many = many_scales.are_many(readings)
    span = max(places.values()) - min(places.values())
    # Where scales stand close together, series that are set apart would seem to be of others.
    shift = (0.002 if many else 0.011) * (span or 1.0)
    for number, (series, look) in enumerate(looks.items()):
        ordered = sorted((one for one in readings if one.series == series), key=theme.scale_order)
        offset = (number - (len(looks) - 1) / 2) * shift
        for is_aside, part in groupby(ordered, key=lambda one: one.samples_seen is None):
            at = [(places[one.scale] + offset, one) for one in part]
            _series(panel, at, look, "none" if is_aside else look.linestyle, many=many)
    frame.write_if_empty(panel, (one.value for one in readings))
    labels = {one.scale: many_scales.label_of(one) for one in readings} if many else None
    _draw_axis(panel, places, {one.scale: one.samples_seen for one in readings}, brief=brief, labels=labels)


def _draw_axis(
    panel: Axes,
    places: Mapping[str, float],
    samples: Mapping[str, int | None],
    *,
    brief: bool,
    labels: Mapping[str, str] | None,
) -> None:
    """Name the scales below their places, and part those whose training is unknown from the others."""
    for left, right in pairwise(places):
        if samples[left] is not None and samples[right] is None:
            middle = (places[left] + places[right]) / 2
            panel.axvline(middle, color=theme.FAINT, linewidth=0.9, linestyle=":")
    shown = [scale if brief else _tick_label(scale, samples[scale]) for scale in places]
    if labels is not None:
        shown = [labels[scale] for scale in places]
    panel.set_xticks(list(places.values()), shown, linespacing=1.15)
    span = max(places.values()) - min(places.values())
    margin = 0.06 * (span or 5.0)
    panel.set_xlim(min(places.values()) - margin, max(places.values()) + margin)
    panel.grid(visible=False, axis="x")


def handle(look: Look, label: str) -> Artist:
    """Return the legend entry of a series."""
    line = {"color": look.color, "linestyle": look.linestyle, "linewidth": 1.5}
    return frame.line_handle(label.replace(" (", "\n("), **line, marker=look.marker, markersize=5.0)


def hollow_handle(label: str) -> Artist:
    """Return the legend entry that explains hollow marks."""
    mark = {"marker": "o", "markersize": 5.0, "markerfacecolor": "white"}
    return frame.line_handle(label, color=theme.FAINT, linestyle="none", **mark)


def guess_handle(label: str) -> Artist:
    """Return the legend entry that explains the dotted line of a guess."""
    return frame.line_handle(label, color=theme.FAINT, linestyle=":", linewidth=0.9)


def _series(
    panel: Axes,
    at: Sequence[tuple[float, Reading]],
    look: Look,
    linestyle: LineStyleType,
    *,
    many: bool = False,
) -> None:
    bars = [one.bar for _, one in at]
    _, first = at[0]
    panel.errorbar(
        [x for x, _ in at],
        [one.value for _, one in at],
        yerr=None if all(math.isnan(below) for below, _ in bars) else [*zip(*bars, strict=True)],
        color=look.color,
        linestyle=linestyle,
        linewidth=1.2 if many else 1.5,
        marker=look.marker,
        markersize=2.5 if many else 5.0,
        elinewidth=0.6 if many else 1.1,
        capsize=0.0 if many else 2.5,
        capthick=1.1,
        label=first.series,
        zorder=3.0,
    )
    if hollow := [(x, one.value) for x, one in at if one.hollow]:
        panel.plot(
            *zip(*hollow, strict=True),
            linestyle="none",
            color=look.color,
            marker=look.marker,
            markersize=2.5 if many else 5.0,
            markerfacecolor="white",
            zorder=3.2,
            label=f"_{first.series}",
        )


def _tick_label(scale: str, samples: int | None) -> str:
    """Return the scale's name, and its amount of training if the name does not say it."""
    if samples is None:
        return f"{scale}\n(unknown)"
    short = theme.short_number(samples)
    return scale if scale.lower() == short else f"{scale}\n({short})"
