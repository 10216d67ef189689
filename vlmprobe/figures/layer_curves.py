"""Curves over decoder layers: one panel a target, one line a scale, with its bootstrap band."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from vlmprobe.errors import UsageError, unknown_name
from vlmprobe.figures import curve_lines as lines
from vlmprobe.figures import frame, theme, validity
from vlmprobe.pairs.axes import CATEGORIES, Axis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from vlmprobe.analysis.results import LayerCurve
    from vlmprobe.figures.validity import Unreliable

__all__ = ["alignment_over_layers", "layer_curves", "scale_curves", "vd_ei_over_layers"]

_ENTANGLED = f"{Axis.VERTICAL}/{Axis.DISTANCE}"
#: Letters that fit above the narrowest panel, beside "no data: ".
_MISSING_LETTERS = 26
_CONTROLS = (f"{Axis.HORIZONTAL}/{Axis.VERTICAL}", f"{Axis.HORIZONTAL}/{Axis.DISTANCE}")


def layer_curves(
    curves: Sequence[LayerCurve],
    *,
    controls: Sequence[LayerCurve] = (),
    limits: tuple[float, float] | None = None,
    unreliable: Unreliable | None = None,
    title: str | None = None,
    ylabel: str | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw one metric of one subset over layers: a panel a target, a line and its band a scale, one y range.

    The six categories stand in columns by axis. NaN is a gap; a value between two gaps is a mark. A panel names
    the scales that have no data in it.

    Args:
        curves: any mix of families, scales and targets, but one metric and one subset.
        controls: curves of a control, whose ``target`` names the panel they belong to: the hatched band covers
            the bounds of all of them.
        limits: y range; None = that of these curves.
        unreliable: (family, scale) -> categories whose lines are drawn pale, with crosses, as are those of
            their axes.
        title: above the panels; None = the metric and the subset, empty = nothing.
        ylabel: None = what the metric measures.
        figure: emptied and drawn into; None = a new one.

    Raises:
        UsageError: no curves, several metrics or subsets, two curves for one line, or an unknown category.
    """
    lines.check("layer_curves", curves)
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
    _draw(
        figure,
        dict(zip(targets, panels, strict=True)),
        curves,
        limits=limits,
        unreliable=unreliable,
        controls=controls,
    )
    for panel in panels[::columns]:
        frame.label_y(panel, theme.metric_label(curves[0].metric) if ylabel is None else ylabel)
    for panel in panels[-columns:]:
        panel.tick_params(axis="x", labelbottom=True)
        frame.label_x(panel, "decoder layer")
    frame.head(figure, _title(curves) if title is None else title)
    return figure


def vd_ei_over_layers(
    curves: Sequence[LayerCurve],
    *,
    limits: tuple[float, float] | None = None,
    title: str | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw the vertical-distance entanglement of each scale over layers, with its controls beside it.

    The wide panel is the target ``vertical/distance``; ``horizontal/vertical`` and ``horizontal/distance``
    stand beside it on the same y range when there are curves for either. The dark line is zero: not entangled.

    Args:
        curves: one VD-EI metric of one subset.
        limits: y range; None = that of these curves.
        title: above the panels; None = the metric and the subset, empty = nothing.
        figure: emptied and drawn into; None = a new one.

    Raises:
        UsageError: no curves, a target that is none of the three, several metrics or subsets, or two curves
            for one line.
    """
    lines.check("vd_ei_over_layers", curves)
    known = [_ENTANGLED, *_CONTROLS]
    given = {curve.target for curve in curves}
    for target in sorted(given - set(known)):
        raise unknown_name("VD-EI target", target, known)
    targets = known if given & set(_CONTROLS) else [_ENTANGLED]
    figure = frame.blank(figure, frame.FULL_WIDTH if len(targets) > 1 else 6.4, 3.6)
    ratios = [1.2] + [1.0] * (len(targets) - 1)
    panels = figure.subplots(1, len(targets), sharex=True, sharey=True, squeeze=False, width_ratios=ratios)[0]
    _draw(figure, dict(zip(targets, panels, strict=True)), curves, limits=limits)
    for panel in panels:
        frame.label_x(panel, "decoder layer")
    frame.label_y(panels[0], theme.metric_label(curves[0].metric))
    frame.head(figure, _title(curves) if title is None else title)
    return figure


def _title(curves: Sequence[LayerCurve]) -> str:
    return theme.metric_title(curves[0].metric, curves[0].subset)


def _draw(
    figure: Figure,
    panels: dict[str, Axes],
    curves: Sequence[LayerCurve],
    *,
    limits: tuple[float, float] | None,
    unreliable: Unreliable | None = None,
    controls: Sequence[LayerCurve] = (),
) -> None:
    """Fill panels that share both axes, and put one legend beside them."""
    marks = theme.scale_marks(curves)
    with_data = {(curve.family, curve.scale) for curve in curves if lines.finite(curve.values)}
    lines.prepare(list(panels.values()), [*curves, *controls], limits)
    faded: dict[tuple[str, str], bool] = {}
    for target, panel in panels.items():
        shown = [curve for curve in curves if curve.target == target]
        drawn = {(curve.family, curve.scale) for curve in shown if lines.finite(curve.values)}
        missing = [mark.label for key, mark in marks.items() if key in with_data and key not in drawn]
        notes = ["control"] if target in _CONTROLS else []
        if drawn and missing:
            notes.append(_missing_note(missing))
        # On a line of its own: beside a range of counts it would run into the title.
        frame.dress(panel, theme.target_title(target), "\n".join([*notes, lines.count_note(shown)]))
        lines.say_if_empty(panel, shown)
        lines.draw_control(panel, [control for control in controls if control.target == target])
        for curve in sorted(shown, key=theme.scale_order):
            key = curve.family, curve.scale
            is_faded = validity.is_faded(unreliable, *key, target)
            faded[key] = faded.get(key, True) and (is_faded or key not in drawn)
            lines.draw(
                panel, curve, marks[key], shift=marks[key].index, many=len(marks) > lines.FEW, faded=is_faded
            )
    handles = [
        lines.handle(
            mark,
            mark.label if key in with_data else f"{mark.label} (no data)",
            faded=key in with_data and faded[key],
        )
        for key, mark in marks.items()
    ]
    if controls:
        handles.append(lines.control_handle(theme.control_label(controls[0].metric, several=True)))
    if validity.any_faded(unreliable, curves):
        handles.append(validity.handle())
    frame.legend(figure, handles, "scale")


def _missing_note(labels: Sequence[str]) -> str:
    """Name the scales without data in a panel, or count them where there is no room for the names."""
    named = ", ".join(labels)
    return f"no data: {named if len(named) <= _MISSING_LETTERS else f'{len(labels)} scales'}"


def scale_curves(
    curves: Sequence[LayerCurve],
    *,
    limits: tuple[float, float] | None = None,
    unreliable: Unreliable | None = None,
    title: str | None = None,
    ylabel: str | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw one metric of one subset over layers: a panel a scale, a line and its band a target, one y range.

    For one scale this is its own figure; for several, small multiples in the order of training.

    Args:
        curves: any mix of families, scales and targets, but one metric and one subset.
        limits: y range; None = that of these curves.
        unreliable: (family, scale) -> categories whose lines are drawn pale, with crosses, as are those of
            their axes.
        title: above the panels; None = the metric and the subset, empty = nothing.
        ylabel: None = what the metric measures.
        figure: emptied and drawn into; None = a new one.

    Raises:
        UsageError: no curves, several metrics or subsets, two curves for one line, or an unknown category.
    """
    lines.check("scale_curves", curves)
    return _draw_scale(curves, (), limits, unreliable, title, ylabel, figure, legend=_legend_title(curves))


def alignment_over_layers(
    curves: Sequence[LayerCurve],
    controls: Sequence[LayerCurve] = (),
    *,
    limits: tuple[float, float] | None = None,
    title: str | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw the cross-axis alignment of quads over layers with its control: a panel a scale, a line a statistic.

    A line that stays inside the hatched band says no more than deltas that do not belong together.

    Args:
        curves: one alignment metric of one subset; targets such as ``per_sample`` and ``of_means``.
        controls: at most one a scale; values are the control's mean, low and high the ends of its band.
        limits: y range; None = that of these curves.
        title: above the panels; None = the metric and the subset, empty = nothing.
        figure: emptied and drawn into; None = a new one.

    Raises:
        UsageError: no curves, several metrics or subsets, two curves for one line, two controls for one
            scale, or a control of a scale without a curve.
    """
    lines.check("alignment_over_layers", curves)
    scales = {(curve.family, curve.scale) for curve in curves}
    seen: set[tuple[str, str]] = set()
    for control in controls:
        scale = (control.family, control.scale)
        if scale in seen or scale not in scales:
            problem = "two controls" if scale in seen else "a control and no curve"
            raise UsageError(f"alignment_over_layers: {problem} for {' @ '.join(scale)}; pass one of each")
        seen.add(scale)
    return _draw_scale(curves, controls, limits, None, title, None, figure, legend="alignment")


def _draw_scale(
    curves: Sequence[LayerCurve],
    controls: Sequence[LayerCurve],
    limits: tuple[float, float] | None,
    unreliable: Unreliable | None,
    title: str | None,
    ylabel: str | None,
    figure: Figure | None,
    *,
    legend: str,
) -> Figure:
    ordered = sorted(curves, key=theme.scale_order)
    scales = list(dict.fromkeys((curve.family, curve.scale) for curve in ordered))
    looks = theme.target_looks(theme.sort_targets(curve.target for curve in curves))
    columns = min(3, len(scales)) if len(scales) != 4 else 2
    rows = math.ceil(len(scales) / columns)
    width = {1: 6.6, 2: 8.4, 3: frame.FULL_WIDTH}[columns]
    figure = frame.blank(figure, width, 0.7 + (2.9 if rows == 1 else 2.4 * rows))
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    panels, spare = list(grid[: len(scales)]), list(grid[len(scales) :])
    for panel in spare:
        panel.set_axis_off()
    lines.prepare(panels, [*curves, *controls], limits)
    faded: dict[str, bool] = {}
    for scale, panel in zip(scales, panels, strict=True):
        shown = [curve for curve in curves if (curve.family, curve.scale) == scale]
        frame.dress(panel, " @ ".join(scale), lines.count_note(shown))
        lines.say_if_empty(panel, shown)
        lines.draw_control(panel, [one for one in controls if (one.family, one.scale) == scale])
        by_target = {curve.target: curve for curve in shown}
        for place, (target, look) in enumerate(looks.items()):
            if target in by_target:
                curve = by_target[target]
                is_faded = validity.is_faded(unreliable, *scale, target)
                faded[target] = faded.get(target, True) and is_faded
                lines.draw(panel, curve, look, shift=place, many=len(looks) > lines.FEW, faded=is_faded)
    for panel in panels[::columns]:
        frame.label_y(panel, theme.metric_label(curves[0].metric) if ylabel is None else ylabel)
    for panel in panels[-columns:]:
        panel.tick_params(axis="x", labelbottom=True)
        frame.label_x(panel, "decoder layer")
    with_data = {curve.target for curve in curves if lines.finite(curve.values)}
    handles = []
    for target, look in looks.items():
        label = theme.target_title(target).replace(" (", "\n(").replace(", ", ",\n")
        if target not in with_data:
            label += " (no data)"
        handles.append(lines.handle(look, label, faded=target in with_data and faded[target]))
    if controls:
        handles.append(lines.control_handle(theme.control_label(curves[0].metric, several=False)))
    if validity.any_faded(unreliable, curves):
        handles.append(validity.handle())
    frame.legend(figure, handles, legend)
    default = theme.metric_title(curves[0].metric, curves[0].subset)
    frame.head(figure, default if title is None else title)
    return figure


def _legend_title(curves: Sequence[LayerCurve]) -> str:
    from vlmprobe.pairs.axes import AXES, CATEGORIES

    targets = {curve.target for curve in curves}
    if targets <= set(AXES):
        return "axis"
    return "category" if targets <= set(CATEGORIES) else "pair of axes"
