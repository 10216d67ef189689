"""Draws curves over decoder layers: one panel per target and one line per scale, or the reverse."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from vlmprobe.analysis.catalog import entry_of
from vlmprobe.errors import UsageError, unknown_name
from vlmprobe.figures import curve_lines as lines
from vlmprobe.figures import frame, many_scales, theme, validity
from vlmprobe.pairs.axes import SPACE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from vlmprobe.analysis.catalog import Entry
    from vlmprobe.analysis.results import LayerCurve
    from vlmprobe.figures.theme import Look, Mark
    from vlmprobe.figures.validity import Unreliable
    from vlmprobe.pairs.axes import AxisSet

__all__ = ["alignment_over_layers", "layer_curves", "scale_curves", "vd_ei_over_layers"]

#: Letters that fit above the narrowest panel, beside "no data: ".
_MISSING_LETTERS = 26


def layer_curves(
    curves: Sequence[LayerCurve],
    *,
    axes: AxisSet = SPACE,
    controls: Sequence[LayerCurve] = (),
    limits: tuple[float, float] | None = None,
    unreliable: Unreliable | None = None,
    title: str | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw one metric of one subset over layers: one panel per target, one line with its band per scale.

    Categories stand in columns by axis. NaN is a gap; a value between two gaps is a mark. A panel names
    the scales that have no data in it. From ten scales on, lines have no bands, and their colors run along a bar
    in the order of training.

    Args:
        curves: any mix of families, scales and targets, but one metric and one subset.
        axes: the set that the targets are of.
        controls: curves of a control, whose ``target`` names the panel they belong to: the hatched band covers
            the bounds of all of them.
        limits: y range; None = that of these curves.
        unreliable: (family, scale) -> categories whose lines are drawn pale, with crosses, as are those of
            their axes.
        title: above the panels; None = the metric and the subset, empty = nothing.
        figure: emptied and drawn into; None = a new one.

    Raises:
        UsageError: no curves, several metrics or subsets, two curves for one line, or an unknown category.
    """
    lines.check("layer_curves", curves)
    targets = theme.sort_targets((curve.target for curve in curves), axes)
    columns = min(3, len(targets))
    if len(targets) > len(axes) and set(targets) <= set(axes.categories):
        targets, columns = [*axes.categories[::2], *axes.categories[1::2]], min(3, len(axes))
    size = {1: 6.4, 2: 8.2, 3: frame.FULL_WIDTH}[columns], 0.7 + 2.5 * math.ceil(len(targets) / columns)
    layout = _by_target(curves, axes, targets, frame.blank(figure, *size), columns)
    return _draw(layout, curves, controls, limits, unreliable, title)


def vd_ei_over_layers(
    curves: Sequence[LayerCurve],
    *,
    axes: AxisSet = SPACE,
    controls: Sequence[LayerCurve] = (),
    limits: tuple[float, float] | None = None,
    title: str | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw the vertical-distance entanglement of each scale over layers, with its controls beside it.

    The wide panel is the target ``vertical/distance``; its controls, such as ``horizontal/vertical``, appear next to
    it with the same y range if any has curves. The dark line is zero: not entangled. ``controls`` are curves of blind
    runs or random weights, which have an angle only where both of their axes are resolved.
    Arguments are those of ``layer_curves``.

    Raises:
        UsageError: as in ``layer_curves``, or a target is none of these.
    """
    lines.check("vd_ei_over_layers", curves)
    known = entry_of(curves[0].metric).targets(axes)
    given = {curve.target for curve in curves}
    for target in sorted(given - set(known)):
        raise unknown_name("VD-EI target", target, list(known))
    targets = known if given - {known[0]} else known[:1]
    figure = frame.blank(figure, frame.FULL_WIDTH if len(targets) > 1 else 6.4, 3.6)
    widths = [1.2] + [1.0] * (len(targets) - 1)
    layout = _by_target(curves, axes, targets, figure, len(targets), width_ratios=widths)
    return _draw(layout, curves, controls, limits, None, title)


def scale_curves(
    curves: Sequence[LayerCurve],
    *,
    axes: AxisSet = SPACE,
    limits: tuple[float, float] | None = None,
    unreliable: Unreliable | None = None,
    title: str | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw the curves of ``layer_curves`` with one panel per scale, and one line with its band per target.

    One scale gets one panel; several get small multiples in the order of training. Arguments and errors
    are those of ``layer_curves``.
    """
    lines.check("scale_curves", curves)
    return _draw(_by_scale(curves, axes, figure), curves, (), limits, unreliable, title)


def alignment_over_layers(
    curves: Sequence[LayerCurve],
    controls: Sequence[LayerCurve] = (),
    *,
    axes: AxisSet = SPACE,
    limits: tuple[float, float] | None = None,
    title: str | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw the cross-axis alignment of quads over layers, with its control: one panel per scale.

    Each line is one statistic; inside the hatched band, it is no stronger than for unrelated deltas. There is
    at most one control per scale: its values are the mean, its low and high the ends of the band. The
    other arguments are those of ``layer_curves``.

    Raises:
        UsageError: as in ``layer_curves``, or a scale has two controls, or a control and no curve.
    """
    lines.check("alignment_over_layers", curves)
    scales, seen = {_scale(curve) for curve in curves}, set()
    for scale in map(_scale, controls):
        if scale in seen or scale not in scales:
            problem = "two controls" if scale in seen else "a control but no curve"
            raise UsageError(f"alignment_over_layers: {problem} for {' @ '.join(scale)}; pass one of each")
        seen.add(scale)
    return _draw(_by_scale(curves, axes, figure), curves, controls, limits, None, title)


class _Layout(NamedTuple):
    """Maps each curve to its panel and its line."""

    axes: AxisSet
    figure: Figure
    panels: Mapping[Any, tuple[Axes, str]]
    """Each panel's axes and title."""
    panel_of: Callable[[LayerCurve], Any]
    lines: Mapping[Any, tuple[Look | Mark, str]]
    """Each line's look and label, in the order of the legend."""
    line_of: Callable[[LayerCurve], Any]
    legend: str
    columns: int
    many: bool = False
    """Whether there are so many lines, one a scale, that a bar stands for the legend."""


def _scale(curve: LayerCurve) -> tuple[str, str]:
    return curve.family, curve.scale


def _target(curve: LayerCurve) -> str:
    return curve.target


def _by_target(
    curves: Sequence[LayerCurve],
    axes: AxisSet,
    targets: Sequence[str],
    figure: Figure,
    columns: int,
    **widths: Any,
) -> _Layout:
    titles = {target: theme.target_title(target, axes) for target in targets}
    panels = _panels(figure, titles, columns, **widths)
    many = many_scales.are_many(curves)
    marks = (many_scales.marks if many else theme.scale_marks)(curves)
    looks = {scale: (mark, mark.label) for scale, mark in marks.items()}
    return _Layout(axes, figure, panels, _target, looks, _scale, "" if many else "scale", columns, many)


def _by_scale(curves: Sequence[LayerCurve], axes: AxisSet, figure: Figure | None) -> _Layout:
    scales = {scale: " @ ".join(scale) for scale in theme.scale_marks(curves)}
    columns = min(3, len(scales)) if len(scales) != 4 else 2
    rows = math.ceil(len(scales) / columns)
    width = {1: 6.6, 2: 8.4, 3: frame.FULL_WIDTH}[columns]
    figure = frame.blank(figure, width, 0.7 + (2.9 if rows == 1 else 2.4 * rows))
    looks = {
        target: (look, theme.target_title(target, axes).replace(" (", "\n(").replace(", ", ",\n"))
        for target, look in theme.target_looks(theme.sort_targets(map(_target, curves), axes), axes).items()
    }
    legend = entry_of(curves[0].metric).legend
    return _Layout(axes, figure, _panels(figure, scales, columns), _scale, looks, _target, legend, columns)


def _panels(
    figure: Figure, titles: Mapping[Any, str], columns: int, **widths: Any
) -> dict[Any, tuple[Axes, str]]:
    panels = frame.panels(figure, len(titles), columns, sharex=True, sharey=True, **widths)
    return {key: (panel, title) for (key, title), panel in zip(titles.items(), panels, strict=True)}


def _draw(
    layout: _Layout,
    curves: Sequence[LayerCurve],
    controls: Sequence[LayerCurve],
    limits: tuple[float, float] | None,
    unreliable: Unreliable | None,
    title: str | None,
) -> Figure:
    """Fill the panels, which share both axes, and add one legend to the right."""
    entry, panels = entry_of(curves[0].metric), [panel for panel, _ in layout.panels.values()]
    lines.prepare(panels, [*curves, *controls], limits)
    drawn = [curve for curve in curves if lines.finite(curve.values)]
    with_data = {layout.line_of(curve) for curve in drawn}
    for key, (panel, name) in layout.panels.items():
        shown = {layout.line_of(curve): curve for curve in curves if layout.panel_of(curve) == key}
        # On a separate line, since next to a range of counts it would run into the title.
        note = "\n".join([*_notes(layout, entry, key, shown, with_data), lines.count_note(shown.values())])
        frame.dress(panel, name, note)
        lines.draw_control(panel, [control for control in controls if layout.panel_of(control) == key])
        _draw_lines(panel, layout, shown, unreliable)
    for panel in panels[:: layout.columns]:
        frame.label_y(panel, entry.label)
    for panel in panels[-layout.columns :]:
        panel.tick_params(axis="x", labelbottom=True)
        frame.label_x(panel, "decoder layer")
    handles = _line_handles(layout, drawn, unreliable)
    if layout.many:
        marks: dict[tuple[str, str], Any] = {scale: mark for scale, (mark, _) in layout.lines.items()}
        many_scales.color_bar(layout.figure, panels, curves, marks.values())
        handles = many_scales.family_handles(curves, marks)
    if any(lines.finite(control.low) for control in controls):
        handles.append(lines.control_handle(entry, several=layout.line_of is _scale))
    if validity.any_faded(unreliable, layout.axes, curves):
        handles.append(validity.handle())
    if handles:
        frame.legend(layout.figure, handles, layout.legend)
    frame.head(layout.figure, title, theme.metric_title(entry, curves[0].subset))
    return layout.figure


def _line_handles(
    layout: _Layout, with_data: Sequence[LayerCurve], unreliable: Unreliable | None
) -> list[Artist]:
    """Return the legend entry of each line: pale if all its curves are, and with a note if it has none."""
    faded: dict[Any, bool] = {}
    for curve in with_data:
        pale = validity.is_faded(unreliable, layout.axes, *_scale(curve), curve.target)
        faded[layout.line_of(curve)] = faded.get(layout.line_of(curve), True) and pale
    return [
        lines.handle(look, label if line in faded else f"{label} (no data)", faded=faded.get(line, False))
        for line, (look, label) in layout.lines.items()
    ]


def _draw_lines(
    panel: Axes, layout: _Layout, shown: Mapping[Any, LayerCurve], unreliable: Unreliable | None
) -> None:
    frame.write_if_empty(panel, (value for curve in shown.values() for value in curve.values))
    for place, (line, (look, _)) in enumerate(layout.lines.items()):
        if curve := shown.get(line):
            faded = validity.is_faded(unreliable, layout.axes, *_scale(curve), curve.target)
            lines.draw(
                panel,
                curve,
                look,
                shift=place,
                many=len(layout.lines) > lines.FEW,
                faded=faded,
                bare=layout.many,
            )


def _notes(
    layout: _Layout, entry: Entry, target: str, shown: Mapping[Any, LayerCurve], with_data: set[Any]
) -> list[str]:
    """Return a panel's notes: that it is a control, and the scales without data (or how many)."""
    if layout.panel_of is not _target:
        return []
    control = entry.control
    notes = (
        [control.label] if control and not control.is_band and target in control.targets(layout.axes) else []
    )
    drawn = {line for line, curve in shown.items() if lines.finite(curve.values)}
    missing = [label for line, (_, label) in layout.lines.items() if line in with_data - drawn]
    if drawn and missing:
        named = ", ".join(missing)
        notes.append(f"no data: {named if len(named) <= _MISSING_LETTERS else f'{len(missing)} scales'}")
    return notes
