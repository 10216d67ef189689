"""Shared parts of figures with decoder layers on x: a line and its band, a control's band, the y range."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from vlmprobe.analysis.catalog import entry_of
from vlmprobe.figures import frame, theme
from vlmprobe.figures.checks import check_marks, check_one_metric

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from vlmprobe.analysis.catalog import Entry
    from vlmprobe.analysis.results import LayerCurve
    from vlmprobe.figures.theme import Look, Mark

__all__ = ["shared_limits"]

_MARKS_A_LINE = 6
_MARK_EVERY_LAYER_UP_TO = 12
#: Norms that grow by more than this over the layers look flat on a linear axis.
_LOG_FROM_RATIO = 30.0
_BAND_OPACITY = 0.16
#: Opacity of the line around a band, which shows its extent where bands overlap.
_EDGE_OPACITY = 0.4
#: Bands of more lines than this are drawn lighter, or they would add up to one dark area.
FEW = 3
#: Hatched, unlike a band of any line.
_CONTROL_AREA: dict[str, Any] = {
    "facecolor": f"{theme.CONTROL_COLOR}30",
    "edgecolor": f"{theme.CONTROL_COLOR}90",
    "hatch": "////",
    "linewidth": 0.0,
}
#: Half the width of a control's bounds at a layer between two gaps, in layers.
_BAR = 0.15
_MARGIN = 0.05


def shared_limits(curves: Sequence[LayerCurve]) -> tuple[float, float] | None:
    """Return the y range that shows every value and bound of these curves, with a margin of 5 %.

    Pass it as ``limits`` to the figures of several scales, so that heights can be compared across them. A
    cosine's range holds 0. For norms that are drawn on a log axis the margin is one of ratios. None: there
    is nothing to show.
    """
    values = finite(value for curve in curves for value in (*curve.values, *curve.low, *curve.high))
    if not values:
        return None
    low, high = min(values), max(values)
    if wants_log(curves):
        factor = (high / low) ** _MARGIN
        return low / factor, high * factor
    low, high = min(low, 0.0), max(high, 0.0)
    margin = _MARGIN * ((high - low) or 1.0)
    return low - margin, high + margin


def check(what: str, curves: Sequence[LayerCurve]) -> None:
    """Check that curves belong in one figure: at least one, of one metric and subset, and no line twice."""
    check_one_metric(what, curves)
    marks = [(curve.family, curve.scale, curve.target) for curve in curves]
    check_marks(what, marks, "curves", "no curves to draw; run `vlmprobe analyze`")


def prepare(panels: Sequence[Axes], curves: Sequence[LayerCurve], limits: tuple[float, float] | None) -> None:
    """Set up the shared axes of panels: whole layers on x, a zero line or a log scale on y, the range."""
    from matplotlib.ticker import MaxNLocator

    logarithmic = wants_log(curves, limits)
    for panel in panels:
        if logarithmic:
            panel.set_yscale("log")
        else:
            panel.axhline(0.0, color=theme.FAINT, linewidth=0.9, zorder=1.5)
        panel.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    layers = [layer for curve in curves for layer in curve.layers] or [0]
    margin = max(0.3, 0.02 * (max(layers) - min(layers)))
    panels[0].set_xlim(min(layers) - margin, max(layers) + margin)
    if limits is not None:
        panels[0].set_ylim(*limits)


def draw(
    panel: Axes,
    curve: LayerCurve,
    look: Look | Mark,
    *,
    shift: int = 0,
    many: bool = False,
    faded: bool = False,
    bare: bool = False,
    markersize: float = 3.8,
) -> None:
    """Draw one curve with the band of its interval.

    Args:
        panel: to draw into.
        curve: NaN is a gap, a value between two gaps a mark.
        look: color, marker and line.
        shift: which of several curves this is, so that marks of lines that run together stand apart.
        many: there are so many curves that the bands must be lighter.
        faded: drawn pale and marked with crosses.
        bare: there are so many curves that each is a thin line alone: no band, and marks at lone values only.
        markersize: of the marks, in points.
    """
    label = f"{curve.family} @ {curve.scale}"
    color = theme.pale(look.color) if faded else look.color
    if not bare and finite(curve.low) and finite(curve.high):
        panel.fill_between(
            curve.layers,
            curve.low,
            curve.high,
            color=color,
            alpha=_BAND_OPACITY / 2 if many else _BAND_OPACITY,
            linewidth=0.0,
            zorder=2.0,
            label=f"_{label}",
        )
        for ends in (curve.low, curve.high):
            panel.plot(
                curve.layers,
                ends,
                color=color,
                alpha=_EDGE_OPACITY,
                linewidth=0.6,
                zorder=2.0,
                label=f"_{label}",
            )
    panel.plot(
        curve.layers,
        curve.values,
        color=color,
        linestyle=look.linestyle,
        linewidth=0.9 if bare else 1.6,
        marker="x" if faded else "o" if bare else look.marker,
        markersize=markersize + 1.0 if faded else markersize,
        markeredgewidth=1.2 if faded else 0.0,
        markevery=_lone(curve.values) if bare else _marked(curve.values, shift),
        zorder=2.8 if faded else 3.0,
        label=label,
    )


def draw_control(panel: Axes, controls: Sequence[LayerCurve]) -> None:
    """Draw the band between the lowest and the highest bound of some controls; of a single one, its mean too."""
    ends: dict[int, tuple[float, float]] = {}
    for control in controls:
        for layer, low, high in zip(control.layers, control.low, control.high, strict=True):
            lowest, highest = ends.get(layer, (math.inf, -math.inf))
            if math.isfinite(low) and math.isfinite(high):
                ends[layer] = min(lowest, low), max(highest, high)
    if ends:
        layers = sorted({layer for control in controls for layer in control.layers})
        # A gap where no control has bounds; a layer between two gaps has no area, so it is a bar.
        lows, highs = zip(*(ends.get(layer, (math.nan, math.nan)) for layer in layers), strict=True)
        panel.fill_between(layers, lows, highs, **_CONTROL_AREA, zorder=1.6, label="_control")
        for place in _lone(lows):
            panel.fill_between(
                [layers[place] - _BAR, layers[place] + _BAR],
                [lows[place]] * 2,
                [highs[place]] * 2,
                **_CONTROL_AREA,
                zorder=1.6,
                label="_control",
            )
    if len(controls) == 1:
        panel.plot(
            controls[0].layers,
            controls[0].values,
            color=theme.CONTROL_COLOR,
            linewidth=1.1,
            linestyle="--",
            zorder=1.8,
            label="_control",
        )


def control_handle(entry: Entry, *, several: bool) -> Artist:
    """Return the legend entry for the band of a metric's control, or for those of several scales."""
    from matplotlib.patches import Patch

    name = entry.control.label if entry.control and entry.control.is_band else "control"
    bands = "bands of all scales, 95 % each" if several else "mean and 95 % band"
    return Patch(**_CONTROL_AREA, label=f"{name}:\n{bands}")


def handle(look: Look | Mark, label: str, *, faded: bool = False) -> Artist:
    """Return the legend entry of a line."""
    color, marker = (theme.pale(look.color), "x") if faded else (look.color, look.marker)
    size, edge = (5.0, 1.2) if faded else (4.5, 0.0)
    mark = {"marker": marker, "markersize": size, "markeredgewidth": edge}
    return frame.line_handle(label, color=color, linestyle=look.linestyle, linewidth=1.6, **mark)


def count_note(curves: Iterable[LayerCurve]) -> str:
    """Return a note with the number of vectors behind a panel's values."""
    return frame.count_note(curve.n for curve in curves if finite(curve.values))


def wants_log(curves: Sequence[LayerCurve], limits: tuple[float, float] | None = None) -> bool:
    """Whether the metric can grow by orders of magnitude and does, over the layers or the given range."""
    if not entry_of(curves[0].metric).is_logarithmic:
        return False
    values = list(limits) if limits else finite(v for curve in curves for v in (*curve.values, *curve.low))
    return bool(values) and min(values) > 0 and max(values) > _LOG_FROM_RATIO * min(values)


def finite(values: Iterable[float]) -> list[float]:
    """Drop NaN and infinities."""
    return [value for value in values if math.isfinite(value)]


def _marked(values: Sequence[float], shift: int) -> list[int]:
    """Choose the points that get a mark: all of a short line, some of a long one, every isolated point."""
    n = len(values)
    if n <= _MARK_EVERY_LAYER_UP_TO:
        return list(range(n))
    step = max(1, n // _MARKS_A_LINE)
    # Each scale starts at a different point, so that marks of overlapping lines do not cover each other.
    regular = set(range(shift % step, n, step))
    return sorted(regular.union(_lone(values)))


def _lone(values: Sequence[float]) -> list[int]:
    """Return the points between two gaps, which no line shows."""
    padded = [math.nan, *values, math.nan]
    return [i for i in range(len(values)) if math.isnan(padded[i]) and math.isnan(padded[i + 2])]
