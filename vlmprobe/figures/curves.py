"""Curves over decoder layers: one panel a target, one line a scale, with its bootstrap band."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from vlmprobe.errors import UsageError, unknown_name
from vlmprobe.figures import frame, theme
from vlmprobe.pairs.axes import CATEGORIES, Axis

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from vlmprobe.analysis.results import LayerCurve
    from vlmprobe.figures.theme import Mark

__all__ = ["layer_curves", "vd_ei_over_layers"]

_MARKS_A_LINE = 6
_MARK_EVERY_LAYER_UP_TO = 12
#: Norms that grow more than this over the layers leave a flat line on a linear axis.
_LOG_FROM_RATIO = 30.0
_BAND_OPACITY = 0.16

_ENTANGLED = f"{Axis.VERTICAL}/{Axis.DISTANCE}"
_CONTROLS = (f"{Axis.HORIZONTAL}/{Axis.VERTICAL}", f"{Axis.HORIZONTAL}/{Axis.DISTANCE}")


def layer_curves(
    curves: Sequence[LayerCurve],
    *,
    title: str | None = None,
    ylabel: str | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw one metric of one subset over layers: a panel a target, a line and its band a scale, one y range.

    The six categories stand in columns by axis. NaN is a gap; a value between two gaps is a mark.

    Args:
        curves: any mix of families, scales and targets, but one metric and one subset.
        title: above the panels; None = the metric and the subset, empty = nothing.
        ylabel: None = what the metric measures.
        figure: emptied and drawn into; None = a new one.

    Raises:
        UsageError: no curves, several metrics or subsets, or two curves for one line.
    """
    _check("layer_curves", curves)
    targets = theme.sort_targets(curve.target for curve in curves)
    if len(targets) > 3 and set(targets) <= set(CATEGORIES):
        targets = [*CATEGORIES[::2], *CATEGORIES[1::2]]
    columns = min(3, len(targets))
    rows = math.ceil(len(targets) / columns)
    width = {1: 6.4, 2: 8.2, 3: frame.FULL_WIDTH}[columns]
    figure = frame.blank(figure, width, 0.7 + 2.5 * rows)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    panels, spare = list(grid[: len(targets)]), list(grid[len(targets) :])
    for panel in spare:
        panel.set_axis_off()
    _draw(figure, dict(zip(targets, panels, strict=True)), curves)
    for panel in panels[::columns]:
        frame.label_y(panel, theme.metric_label(curves[0].metric) if ylabel is None else ylabel)
    for panel in panels[-columns:]:
        panel.tick_params(axis="x", labelbottom=True)
        frame.label_x(panel, "decoder layer")
    frame.head(figure, _title(curves) if title is None else title)
    return figure


def vd_ei_over_layers(
    curves: Sequence[LayerCurve], *, title: str | None = None, figure: Figure | None = None
) -> Figure:
    """Draw the vertical-distance entanglement of each scale over layers, with its controls beside it.

    The wide panel is the target ``vertical/distance``; ``horizontal/vertical`` and ``horizontal/distance``
    stand beside it on the same y range when there are curves for them. The dark line is zero: not entangled.

    Args:
        curves: one VD-EI metric of one subset.
        title: above the panels; None = the metric and the subset, empty = nothing.
        figure: emptied and drawn into; None = a new one.

    Raises:
        UsageError: no curves, a target that is none of the three, several metrics or subsets, or two curves
            for one line.
    """
    _check("vd_ei_over_layers", curves)
    known = [_ENTANGLED, *_CONTROLS]
    given = {curve.target for curve in curves}
    for target in sorted(given - set(known)):
        raise unknown_name("VD-EI target", target, known)
    targets = [target for target in known if target == _ENTANGLED or target in given]
    figure = frame.blank(figure, frame.FULL_WIDTH if len(targets) > 1 else 6.4, 3.6)
    ratios = [1.2] + [1.0] * (len(targets) - 1)
    panels = figure.subplots(1, len(targets), sharex=True, sharey=True, squeeze=False, width_ratios=ratios)[0]
    _draw(figure, dict(zip(targets, panels, strict=True)), curves)
    for panel in panels:
        frame.label_x(panel, "decoder layer")
    frame.label_y(panels[0], theme.metric_label(curves[0].metric))
    frame.head(figure, _title(curves) if title is None else title)
    return figure


def _check(what: str, curves: Sequence[LayerCurve]) -> None:
    if not curves:
        raise UsageError(f"{what}: no curves to draw; run `vlmprobe analyze` first")
    kinds = {(curve.metric, curve.subset) for curve in curves}
    if len(kinds) > 1:
        listed = ", ".join(f"{metric} of {subset}" for metric, subset in sorted(kinds))
        raise UsageError(f"{what}: one figure shows one metric of one subset, not {listed}")
    seen = set()
    for curve in curves:
        line = (curve.family, curve.scale, curve.target)
        if line in seen:
            name = f"{curve.family} @ {curve.scale}, {curve.target}"
            raise UsageError(f"{what}: two curves for {name}; pass one run a scale")
        seen.add(line)


def _title(curves: Sequence[LayerCurve]) -> str:
    return theme.metric_title(curves[0].metric, curves[0].subset)


def _draw(figure: Figure, panels: dict[str, Axes], curves: Sequence[LayerCurve]) -> None:
    """Fill panels that share both axes, and put one legend beside them."""
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    marks = theme.scale_marks(curves)
    logarithmic = _wants_log(curves)
    opacity = _BAND_OPACITY if len(marks) <= 6 else _BAND_OPACITY / 2
    for target, panel in panels.items():
        shown = [curve for curve in curves if curve.target == target]
        note = "control, " if target in _CONTROLS else ""
        frame.dress(panel, theme.target_title(target), note + _count_note(shown))
        if not any(_finite(curve.values) for curve in shown):
            frame.say_no_data(panel)
        if logarithmic:
            panel.set_yscale("log")
        else:
            panel.axhline(0.0, color=theme.FAINT, linewidth=0.9, zorder=1.5)
        for curve in sorted(shown, key=theme.scale_order):
            _line(panel, curve, marks[curve.family, curve.scale], opacity)
        panel.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    layers = [layer for curve in curves for layer in curve.layers] or [0]
    margin = max(0.3, 0.02 * (max(layers) - min(layers)))
    next(iter(panels.values())).set_xlim(min(layers) - margin, max(layers) + margin)
    with_data = {(curve.family, curve.scale) for curve in curves if _finite(curve.values)}
    handles = [
        Line2D(
            [],
            [],
            color=mark.color,
            linestyle=mark.linestyle,
            marker=mark.marker,
            markersize=4.5,
            linewidth=1.6,
            label=mark.label if key in with_data else f"{mark.label} (no data)",
        )
        for key, mark in marks.items()
    ]
    frame.legend(figure, handles, "scale")


def _line(panel: Axes, curve: LayerCurve, mark: Mark, opacity: float) -> None:
    label = f"{curve.family} @ {curve.scale}"
    if _finite(curve.low) and _finite(curve.high):
        panel.fill_between(
            curve.layers,
            curve.low,
            curve.high,
            color=mark.color,
            alpha=opacity,
            linewidth=0.0,
            zorder=2.0,
            label=f"_{label}",
        )
    panel.plot(
        curve.layers,
        curve.values,
        color=mark.color,
        linestyle=mark.linestyle,
        linewidth=1.6,
        marker=mark.marker,
        markersize=3.8,
        markeredgewidth=0.0,
        markevery=_marked(curve.values, mark.index),
        zorder=3.0,
        label=label,
    )


def _marked(values: Sequence[float], shift: int) -> list[int]:
    """Which points get a mark: all of a short line, some of a long one, and each that no line reaches."""
    n = len(values)
    if n <= _MARK_EVERY_LAYER_UP_TO:
        return list(range(n))
    step = max(1, n // _MARKS_A_LINE)
    # Each scale starts elsewhere, so that the marks of lines that run together do not cover each other.
    regular = set(range(shift % step, n, step))
    padded = [math.nan, *values, math.nan]
    lone = {i for i in range(n) if math.isnan(padded[i]) and math.isnan(padded[i + 2])}
    return sorted(regular | lone)


def _wants_log(curves: Sequence[LayerCurve]) -> bool:
    """Whether this is a norm that grows by orders of magnitude over the layers."""
    values = _finite(value for curve in curves for value in (*curve.values, *curve.low))
    return (
        curves[0].metric == "delta_norm"
        and bool(values)
        and min(values) > 0
        and max(values) > _LOG_FROM_RATIO * min(values)
    )


def _count_note(curves: Sequence[LayerCurve]) -> str:
    counts = [curve.n for curve in curves]
    if not counts:
        return ""
    low, high = min(counts), max(counts)
    return f"n = {low}" if low == high else f"n = {low}\N{EN DASH}{high}"


def _finite(values: Iterable[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]
