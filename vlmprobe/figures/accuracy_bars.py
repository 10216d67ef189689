"""Accuracy as bars: original question, swapped question, both; by axis and scale, or by category."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from vlmprobe.analysis.catalog import axes_and_overall
from vlmprobe.figures import frame, many_scales, theme, validity
from vlmprobe.figures import over_training as training
from vlmprobe.figures.checks import check_points
from vlmprobe.pairs.axes import SPACE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from vlmprobe.analysis.results import AccuracyPoint
    from vlmprobe.pairs.axes import AxisSet

__all__ = ["accuracy_bars", "category_validity_bars"]

_GUESSED = 0.5
#: Share of the space per group that its bars take.
_GROUP_WIDTH = 0.8
#: Of the names around small panels.
_SMALL = 5.5


#: A point, the label below its bars, and their color.
_Group: TypeAlias = "tuple[AccuracyPoint, str, str]"


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
    points: Sequence[AccuracyPoint],
    *,
    axes: AxisSet = SPACE,
    title: str | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw how often the original question, the swapped one and both are answered right, with Wilson 95 % bounds.

    One panel per axis and one for all pairs, two in a row, families below each other; one group of three bars
    per scale, in the order of training. The dotted line is a guess at one question; a guess at both is right
    half as often.

    Args:
        points: one a (family, scale, axis); axes and ``overall``.
        axes: the set that the targets are of.
        title: above the panels; None = what is shown, empty = nothing.
        figure: emptied and drawn into; None = a new one.

    Raises:
        UsageError: no points, an unknown axis, or two points for one group.
    """
    check_points("accuracy_bars", points, "axis", axes_and_overall(axes))
    families = sorted({point.family for point in points})
    several = len(families) > 1
    series = theme.sort_targets((point.target for point in points), axes)
    many = many_scales.are_many(points)
    columns = 1 if many else min(2, len(series))
    rows = math.ceil(len(series) / columns)
    width = frame.FULL_WIDTH if many or columns > 1 else 6.6
    figure = frame.blank(figure, width, 0.7 + 2.2 * rows * len(families))
    grid = figure.subplots(rows * len(families), columns, sharey=True, squeeze=False)
    by_family = grid.reshape(len(families), -1)
    panels, spare = by_family[:, : len(series)].ravel(), by_family[:, len(series) :].ravel()
    for (family, axis), panel in zip(product(families, series), panels, strict=True):
        name = theme.target_title(axis, axes)
        shown = [point for point in points if (point.family, point.target) == (family, axis)]
        title_of = f"{family}: {name}" if several else name
        _fill(panel, title_of, _KINDS, _by_scale(shown, axes, many=many), thin=many)
    for panel in spare:
        panel.set_axis_off()
    for panel in grid[:, 0]:
        frame.label_y(panel, "answered correctly\n(share of pairs)")
    frame.legend(figure, [*_kind_handles(_KINDS), _guess_handle()], "questions")
    frame.head(figure, title, "Accuracy by axis and scale" + ("" if several else f": {families[0]}"))
    frame.stagger_tick_labels(figure, *panels, thin=many)
    return figure


def category_validity_bars(
    points: Sequence[AccuracyPoint],
    *,
    axes: AxisSet = SPACE,
    title: str | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw how often either question of each category is answered right, with Wilson 95 % bounds.

    A panel a scale, small from ten scales on. A category of which a side is right less than half of the
    time is pale and marked with a cross: the model does not tell it from its opposite, so its states may
    hold something else.

    Args:
        points: one a (family, scale, category).
        axes: the set that the targets are of.
        title: above the panels; None = what is shown, empty = nothing.
        figure: emptied and drawn into; None = a new one.

    Raises:
        UsageError: no points, an unknown category, or two points for one group.
    """
    check_points("category_validity_bars", points, "category", tuple(map(str, axes.categories)))
    scales: dict[tuple[str, str], list[AccuracyPoint]] = {}
    for point in sorted(points, key=lambda point: (point.family, theme.scale_order(point))):
        scales.setdefault((point.family, point.scale), []).append(point)
    many = many_scales.are_many(points)
    if many:
        figure, panels = _small(figure, scales, axes)
    else:
        figure, panels = frame.pairs_of_panels(figure, len(scales), narrow=6.8, row=2.2)
        for (scale, shown), panel in zip(scales.items(), panels, strict=True):
            _fill(panel, " @ ".join(scale), _KINDS[:2], _by_category(shown, axes))
    for panel in () if many else panels[::2]:
        frame.label_y(panel, "answered correctly\n(share of pairs)")
    handles = [*_kind_handles(_KINDS[:2]), _guess_handle()]
    if any(point.reliable is False for point in points):
        handles.append(validity.handle(line=False))
    frame.legend(figure, handles, "questions")
    frame.head(figure, title, "Category validity: accuracy on either question")
    if not many:
        frame.stagger_tick_labels(figure, *panels)
    return figure


def _small(
    figure: Figure | None, scales: Mapping[tuple[str, str], Sequence[AccuracyPoint]], axes: AxisSet
) -> tuple[Figure, list[Axes]]:
    """Draw a small panel a scale, in a grid about as wide as high, with names at its edges alone."""
    columns, rows = many_scales.small_panels(len(scales))
    figure = frame.blank(figure, frame.FULL_WIDTH, 1.2 + 0.85 * (frame.FULL_WIDTH - 2.0) * rows / columns)
    panels = frame.panels(figure, len(scales), columns)
    for place, ((scale, shown), panel) in enumerate(zip(scales.items(), panels, strict=True)):
        groups = _by_category(shown, axes)
        _fill(panel, "", _KINDS[:2], groups, thin=True)
        frame.small_title(panel, scale[1], _SMALL)
        panel.set_xticks(range(len(groups)), [name for _, name, _ in groups], rotation=90)
        panel.set_yticks([0.0, 0.5, 1.0])
        panel.tick_params(labelsize=_SMALL, pad=1.0, length=1.5)
        panel.tick_params(labelleft=place % columns == 0, labelbottom=place + columns >= len(scales))
    return figure, panels


def _by_scale(points: Sequence[AccuracyPoint], axes: AxisSet, *, many: bool = False) -> list[_Group]:
    # On black no error bar could be seen.
    colors = {str(axis): axis.color for axis in axes}
    ordered = sorted(points, key=theme.scale_order)
    return [
        (point, many_scales.label_of(point) if many else point.scale, colors.get(point.target, theme.FAINT))
        for point in ordered
    ]


def _by_category(points: Sequence[AccuracyPoint], axes: AxisSet) -> list[_Group]:
    of_category = {point.target: point for point in points}
    return [
        (of_category[category], _category_label(of_category[category]), category.color)
        for category in axes.categories
        if category in of_category
    ]


def _fill(
    panel: Axes, title: str, kinds: Sequence[_Kind], groups: Sequence[_Group], *, thin: bool = False
) -> None:
    """Draw one group of bars per point; pale where a category is unreliable."""
    frame.dress(panel, title, frame.count_note(point.n for point, _, _ in groups) if title else "")
    for place, (point, _, color) in enumerate(groups):
        _group(panel, place, point, kinds, color, thin=thin)
    panel.axhline(_GUESSED, color=theme.FAINT, linewidth=0.9, linestyle=":", zorder=3.5)
    panel.set_xticks(range(len(groups)), [label for _, label, _ in groups])
    panel.set_xlim(-0.6, max(len(groups), 1) - 0.4)
    panel.set_ylim(0.0, 1.05)
    panel.grid(visible=False, axis="x")
    panel.tick_params(labelleft=True)
    for tick, (point, _, _) in zip(panel.get_xticklabels(), groups, strict=True):
        tick.set_color(theme.FAINT if point.reliable is False else theme.INK)


def _group(
    panel: Axes, place: int, point: AccuracyPoint, kinds: Sequence[_Kind], color: str, *, thin: bool
) -> None:
    width = _GROUP_WIDTH / len(kinds)
    faded = point.reliable is False
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
            hatch=None if thin else kind.hatch,
            linewidth=0.2 if thin else 0.8,
            yerr=[[max(0.0, value - low)], [max(0.0, high - value)]],
            error_kw={
                "ecolor": theme.FAINT if faded else theme.INK,
                "elinewidth": 0.4 if thin else 1.0,
                "capsize": 0.0 if thin else 2.0,
            },
            label=kind.name,
            zorder=2.5,
        )


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
