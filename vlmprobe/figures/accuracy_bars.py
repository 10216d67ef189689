"""Accuracy as bars: original question, swapped question, both; by axis and scale, or by category."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from vlmprobe.analysis.catalog import AXES_AND_OVERALL
from vlmprobe.figures import frame, theme, validity
from vlmprobe.figures import over_training as training
from vlmprobe.figures.checks import check_points
from vlmprobe.pairs.axes import AXES, CATEGORIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from vlmprobe.analysis.results import AccuracyPoint

__all__ = ["accuracy_bars", "category_validity_bars"]

_GUESSED = 0.5
#: Share of the space per group that its bars take.
_GROUP = 0.8


class _Kind(NamedTuple):
    """What one bar of a group shows, and how much white is mixed into its color."""

    name: str
    label: str
    white: float
    hatch: str | None


_KINDS = (
    _Kind("acc_orig", "original question", 0.5, None),
    _Kind("acc_swap", "swapped question", 0.8, "////"),
    _Kind("acc_both", "both", 0.0, None),
)


def accuracy_bars(
    points: Sequence[AccuracyPoint], *, title: str | None = None, figure: Figure | None = None
) -> Figure:
    """Draw how often the original question, the swapped one and both are answered right, with Wilson 95 % bounds.

    One panel per axis and one for all pairs, two in a row, families below each other; one group of three bars
    per scale, in the order of training. The dotted line is a guess at one question; a guess at both is right
    half as often.

    Args:
        points: one a (family, scale, axis); axes and ``overall``.
        title: above the panels; None = what is shown, empty = nothing.
        figure: emptied and drawn into; None = a new one.

    Raises:
        UsageError: no points, an unknown axis, or two points for one group.
    """
    check_points("accuracy_bars", points, "axis", AXES_AND_OVERALL)
    families = sorted({point.family for point in points})
    series = [axis for axis in AXES_AND_OVERALL if any(point.target == axis for point in points)]
    columns = min(2, len(series))
    rows = math.ceil(len(series) / columns)
    figure = frame.blank(figure, 6.6 if columns == 1 else frame.FULL_WIDTH, 0.7 + 2.2 * rows * len(families))
    grid = figure.subplots(rows * len(families), columns, sharey=True, squeeze=False)
    used: list[Axes] = []
    for place, family in enumerate(families):
        panels = list(grid[place * rows : (place + 1) * rows].ravel())
        for axis, panel in zip(series, panels, strict=False):
            shown = sorted(
                (p for p in points if (p.family, p.target) == (family, axis)), key=theme.scale_order
            )
            name = theme.target_title(axis)
            frame.dress(panel, f"{family}: {name}" if len(families) > 1 else name, _counts(shown))
            # On black no error bar could be seen.
            color = theme.target_look(axis).color if axis in AXES else theme.FAINT
            for number, point in enumerate(shown):
                _group(panel, number, point, _KINDS, color)
            _finish(panel, [point.scale for point in shown])
            used.append(panel)
        for panel in panels[len(series) :]:
            panel.set_axis_off()
    for panel in grid[:, 0]:
        frame.label_y(panel, "answered correctly\n(share of pairs)")
    frame.legend(figure, [*_kind_handles(_KINDS), _guess_handle()], "questions")
    default = f"Accuracy by axis and scale{'' if len(families) > 1 else f': {families[0]}'}"
    frame.head(figure, default if title is None else title)
    frame.stagger_tick_labels(figure, *used)
    return figure


def category_validity_bars(
    points: Sequence[AccuracyPoint], *, title: str | None = None, figure: Figure | None = None
) -> Figure:
    """Draw how often either question of each category is answered right, with Wilson 95 % bounds.

    A panel a scale. A category of which a side is right less than half of the time is pale and marked with a
    cross: the model does not tell it from its opposite, so its states may hold something else.

    Args:
        points: one a (family, scale, category).
        title: above the panels; None = what is shown, empty = nothing.
        figure: emptied and drawn into; None = a new one.

    Raises:
        UsageError: no points, an unknown category, or two points for one group.
    """
    known = tuple(str(category) for category in CATEGORIES)
    check_points("category_validity_bars", points, "category", known)
    ordered = sorted(points, key=lambda point: (point.family, theme.scale_order(point)))
    scales = list(dict.fromkeys((point.family, point.scale) for point in ordered))
    columns = min(2, len(scales))
    rows = math.ceil(len(scales) / columns)
    figure = frame.blank(figure, 6.8 if columns == 1 else frame.FULL_WIDTH, 0.7 + 2.2 * rows)
    panels = frame.panels(figure, len(scales), columns, sharey=True)
    for scale, panel in zip(scales, panels, strict=True):
        of_scale = {point.target: point for point in points if (point.family, point.scale) == scale}
        shown = [of_scale[name] for name in known if name in of_scale]
        frame.dress(panel, " @ ".join(scale), _counts(shown))
        for number, point in enumerate(shown):
            color = theme.CATEGORY_COLORS[point.target]
            _group(panel, number, point, _KINDS[:2], color, faded=point.reliable is False)
        _finish(panel, [_category_label(point) for point in shown])
        for label, point in zip(panel.get_xticklabels(), shown, strict=True):
            label.set_color(theme.FAINT if point.reliable is False else theme.INK)
    for panel in panels[::columns]:
        frame.label_y(panel, "answered correctly\n(share of pairs)")
    handles = [*_kind_handles(_KINDS[:2]), _guess_handle()]
    if any(point.reliable is False for point in points):
        handles.append(validity.handle(line=False))
    frame.legend(figure, handles, "questions")
    frame.head(figure, "Category validity: accuracy on either question" if title is None else title)
    frame.stagger_tick_labels(figure, *panels)
    return figure


def _group(
    panel: Axes,
    place: int,
    point: AccuracyPoint,
    kinds: Sequence[_Kind],
    color: str,
    *,
    faded: bool = False,
) -> None:
    width = _GROUP / len(kinds)
    shown = theme.pale(color, 0.55) if faded else color
    for number, kind in enumerate(kinds):
        value = getattr(point, kind.name)
        x = place + (number - (len(kinds) - 1) / 2) * width
        if not math.isfinite(value):
            panel.text(
                x,
                0.02,
                "no data",
                rotation=90,
                ha="center",
                va="bottom",
                fontsize=theme.SMALL_SIZE,
                fontfamily=theme.FONT,
                color=theme.FAINT,
            )
            continue
        low, high = getattr(point, f"{kind.name}_low"), getattr(point, f"{kind.name}_high")
        panel.bar(
            x,
            value,
            width * 0.92,
            facecolor=theme.pale(shown, kind.white),
            # A hatch takes the color of the edge.
            edgecolor=shown,
            hatch=kind.hatch,
            linewidth=0.8,
            yerr=[[max(0.0, value - low)], [max(0.0, high - value)]],
            error_kw={"ecolor": theme.FAINT if faded else theme.INK, "elinewidth": 1.0, "capsize": 2.0},
            label=kind.name,
            zorder=2.5,
        )


def _finish(panel: Axes, labels: Sequence[str]) -> None:
    panel.axhline(_GUESSED, color=theme.FAINT, linewidth=0.9, linestyle=":", zorder=3.5)
    panel.set_xticks(range(len(labels)), labels)
    panel.set_xlim(-0.6, max(len(labels), 1) - 0.4)
    panel.set_ylim(0.0, 1.05)
    panel.grid(visible=False, axis="x")
    panel.tick_params(labelleft=True)


def _counts(points: Sequence[AccuracyPoint]) -> str:
    counts = sorted({point.n for point in points})
    if not counts:
        return ""
    return f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]}\N{EN DASH}{counts[-1]}"


def _category_label(point: AccuracyPoint) -> str:
    return f"{point.target} {validity.CROSS}" if point.reliable is False else point.target


def _kind_handles(kinds: Sequence[_Kind]) -> list[Artist]:
    from matplotlib.patches import Patch

    return [
        Patch(
            facecolor=theme.pale(theme.FAINT, kind.white),
            edgecolor=theme.FAINT,
            hatch=kind.hatch,
            linewidth=0.8,
            label=kind.label,
        )
        for kind in kinds
    ]


def _guess_handle() -> Artist:
    return training.guess_handle("one guessed (0.5)")
