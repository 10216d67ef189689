"""Accuracy against training: which scale gets which axis right."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from vlmprobe.errors import UsageError, unknown_name
from vlmprobe.figures import frame, theme
from vlmprobe.pairs.axes import AXES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import LineStyleType

    from vlmprobe.analysis.results import AccuracyPoint

__all__ = ["accuracy_over_scales"]

_OVERALL = "overall"
_SERIES = (*AXES, _OVERALL)
#: Right half of the time on each of two questions.
_GUESSED = 0.25
#: Decades of the x axis between neighbours that no number of samples tells apart.
_STEP = 0.45
_THOUSANDS = (("m", 1_000_000), ("k", 1_000))


def accuracy_over_scales(
    points: Sequence[AccuracyPoint], *, title: str | None = None, figure: Figure | None = None
) -> Figure:
    """Draw how often both questions of a pair are answered right, against training, with Wilson 95 % bounds.

    One panel a family. x is logarithmic in the samples seen from the smallest number on, with the untrained
    checkpoint at 0; checkpoints whose number is unknown stand right of a dotted line, unconnected. NaN is a
    gap. The series of one scale are set a little apart, so that their bars can be told apart.

    Args:
        points: one a (family, scale, axis); axes and ``overall``.
        title: above the panels; None = what is shown, empty = nothing.
        figure: emptied and drawn into; None = a new one.

    Raises:
        UsageError: no points, an unknown axis, or two points for one mark.
    """
    _check(points)
    families = sorted({point.family for point in points})
    columns = min(2, len(families))
    rows = math.ceil(len(families) / columns)
    figure = frame.blank(figure, 7.2 if columns == 1 else frame.FULL_WIDTH, 0.7 + 3.2 * rows)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for panel in panels[len(families) :]:
        panel.set_axis_off()
    for place, (family, panel) in enumerate(zip(families, panels, strict=False)):
        frame.dress(panel, family)
        _panel(panel, [point for point in points if point.family == family])
        frame.label_x(panel, "training samples seen (log scale)")
        if place % columns == 0:
            frame.label_y(panel, "both answers right\n(share of pairs)")
    panels[0].set_ylim(-0.03, 1.03)
    _legend(figure, [axis for axis in _SERIES if any(point.axis == axis for point in points)])
    frame.head(figure, "Accuracy over scales, with 95 % Wilson bounds" if title is None else title)
    for panel in panels[: len(families)]:
        frame.stagger_tick_labels(figure, panel)
    return figure


def _check(points: Sequence[AccuracyPoint]) -> None:
    if not points:
        raise UsageError("accuracy_over_scales: no points to draw; run `vlmprobe extract` first")
    seen = set()
    for point in points:
        if point.axis not in _SERIES:
            raise unknown_name("axis", point.axis, [str(axis) for axis in _SERIES])
        mark = (point.family, point.scale, point.axis)
        if mark in seen:
            name = f"{point.family} @ {point.scale}, {point.axis}"
            raise UsageError(f"accuracy_over_scales: two points for {name}; pass one run a scale")
        seen.add(mark)


def _positions(points: Sequence[AccuracyPoint]) -> dict[str, float]:
    """Place each scale of one family on x, in decades; scales that share a number stand side by side."""
    ordered = sorted({point.scale: point for point in points}.values(), key=theme.scale_order)
    smallest = min((point.samples_seen for point in ordered if point.samples_seen), default=1)
    places: dict[str, float] = {}
    last = -math.inf
    for point in ordered:
        if point.samples_seen is None:
            place = last + _STEP if places else 0.0
        elif point.samples_seen == 0:
            place = 0.0
        else:
            place = 1.0 + math.log10(point.samples_seen / smallest)
        if place <= last:
            place = last + _STEP / 2
        places[point.scale] = last = place
    return places


def _panel(panel: Axes, points: Sequence[AccuracyPoint]) -> None:
    places = _positions(points)
    span = max(places.values()) - min(places.values())
    shift = 0.011 * (span or 1.0)
    panel.axhline(_GUESSED, color=theme.FAINT, linewidth=0.9, linestyle=":", zorder=1.5)
    for number, axis in enumerate(_SERIES):
        series = sorted((point for point in points if point.axis == axis), key=theme.scale_order)
        offset = (number - (len(_SERIES) - 1) / 2) * shift
        trained = [point for point in series if point.samples_seen is not None]
        aside = [point for point in series if point.samples_seen is None]
        for part, linestyle in ((trained, _linestyle(axis)), (aside, "none")):
            if part:
                _series(panel, axis, [places[point.scale] + offset for point in part], part, linestyle)
    if not any(math.isfinite(point.acc_both) for point in points):
        frame.say_no_data(panel)
    samples = {point.scale: point.samples_seen for point in points}
    for left, right in pairwise(places):
        if samples[left] is not None and samples[right] is None:
            middle = (places[left] + places[right]) / 2
            panel.axvline(middle, color=theme.FAINT, linewidth=0.9, linestyle=":")
    labels = [_tick_label(scale, samples[scale]) for scale in places]
    panel.set_xticks(list(places.values()), labels, linespacing=1.15)
    margin = 0.06 * (span or 5.0)
    panel.set_xlim(min(places.values()) - margin, max(places.values()) + margin)
    panel.grid(visible=False, axis="x")


def _series(
    panel: Axes, axis: str, places: list[float], points: Sequence[AccuracyPoint], linestyle: LineStyleType
) -> None:
    # Wilson bounds of 0 or all right may fall on the wrong side of the value by rounding.
    below = [max(0.0, point.acc_both - point.acc_both_low) for point in points]
    above = [max(0.0, point.acc_both_high - point.acc_both) for point in points]
    panel.errorbar(
        places,
        [point.acc_both for point in points],
        yerr=[below, above],
        color=_color(axis),
        linestyle=linestyle,
        linewidth=1.5,
        marker=_marker(axis),
        markersize=5.0,
        elinewidth=1.1,
        capsize=2.5,
        capthick=1.1,
        label=axis,
        zorder=3.0,
    )


def _legend(figure: Figure, series: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [],
            [],
            color=_color(axis),
            linestyle=_linestyle(axis),
            marker=_marker(axis),
            markersize=5.0,
            linewidth=1.5,
            label=theme.target_title(axis).replace(" (", "\n("),
        )
        for axis in series
    ]
    guessed = Line2D([], [], color=theme.FAINT, linestyle=":", linewidth=0.9, label="both guessed (0.25)")
    frame.legend(figure, [*handles, guessed], "axis")


def _tick_label(scale: str, samples: int | None) -> str:
    """Name the scale, and how much training that is where the name does not say so."""
    if samples is None:
        return f"{scale}\n(unknown)"
    short = str(samples)
    for letter, size in _THOUSANDS:
        if samples >= size:
            short = f"{samples / size:g}{letter}"
            break
    return scale if scale.lower() == short else f"{scale}\n({short})"


def _color(axis: str) -> str:
    return theme.AXIS_COLORS.get(axis, theme.OVERALL_COLOR)


def _marker(axis: str) -> str:
    return theme.AXIS_MARKERS.get(axis, "D")


def _linestyle(axis: str) -> LineStyleType:
    return "--" if axis == _OVERALL else "-"
