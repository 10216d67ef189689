"""Shared parts of all figures: a canvas, panels of one style, a legend, labels that do not overlap.

Everything is set on the artist itself: no pyplot, no rcParams, so that drawing changes nothing for others.
"""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any

from vlmprobe.figures import theme

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

#: Inches; at 110 dots an inch a full-width figure is 1,078 pixels wide.
FULL_WIDTH = 9.8
_LABEL_GAP_PIXELS = 4.0
#: Points between a tick and its label.
_TICK_PAD = 3.5
#: Inches that a letter of a title and a line of a legend take, rounded up.
_TITLE_LETTER = 0.092
_LEGEND_LINE = 0.19


def blank(figure: Figure | None, width: float, height: float) -> Figure:
    """Return an empty figure of this size (inches), or the given one, emptied, at its own size."""
    from vlmprobe.figures.shown import ShownFigure

    if figure is None:
        figure = ShownFigure(figsize=(width, height), facecolor="white")
    figure.clear()
    figure.set_layout_engine("constrained", w_pad=0.09, h_pad=0.06)
    return figure


def sheet(width: float, height: float) -> Figure:
    """Return an empty figure of this size (inches) for panels at fixed places; see ``put``.

    A layout engine takes half of a figure's time, so figures that are drawn for every layer do without.
    """
    from vlmprobe.figures.shown import ShownFigure

    return ShownFigure(figsize=(width, height), facecolor="white")


def put(
    figure: Figure, left: float, bottom: float, width: float, height: float, *, projection: str | None = None
) -> Any:
    """Add a panel at a place of a ``sheet``, in inches; return its axes."""
    across, up = figure.get_size_inches()
    box = (left / across, bottom / up, width / across, height / up)
    return figure.add_axes(box, projection=projection)


def panels(figure: Figure, n: int, columns: int, **how: Any) -> list[Axes]:
    """Divide a figure into n panels, ``columns`` per row; ``how`` goes to ``Figure.subplots``."""
    grid = figure.subplots(math.ceil(n / columns), columns, squeeze=False, **how).ravel()
    for spare in grid[n:]:
        spare.set_axis_off()
    return list(grid[:n])


def pairs_of_panels(figure: Figure | None, n: int, *, narrow: float, row: float) -> tuple[Figure, list[Axes]]:
    """Divide a figure into n panels with one y axis, two per row; the sizes of one panel are in inches."""
    columns, rows = min(2, n), math.ceil(n / 2)
    figure = blank(figure, narrow if n == 1 else FULL_WIDTH, 0.7 + row * rows)
    return figure, panels(figure, n, columns, sharey=True)


def count_note(counts: Iterable[int]) -> str:
    """Return a note with the smallest and the largest number of items behind a panel's values."""
    ordered = sorted(counts)
    if not ordered:
        return ""
    low, high = ordered[0], ordered[-1]
    return f"n = {low}" if low == high else f"n = {low}\N{EN DASH}{high}"


def is_one_line(title: str, width: float) -> bool:
    """Whether a title fits on one line above a figure of this width (inches)."""
    return len(_wrapped(title, width)) <= 1


def _wrapped(title: str, width: float) -> list[str]:
    return textwrap.wrap(title, int(width / _TITLE_LETTER))


def dress(axes: Axes, title: str, note: str = "") -> None:
    """Give a panel its title, a note at the right of it, and quiet spines, ticks and grid."""
    axes.set_title(
        title,
        loc="left",
        # The default place; given explicitly, drawing skips the search for ticks above the panel.
        y=1.0,
        fontsize=theme.LABEL_SIZE,
        fontfamily=theme.FONT,
        fontweight="bold",
        color=theme.INK,
    )
    if note:
        axes.set_title(
            note, loc="right", y=1.0, fontsize=theme.SMALL_SIZE, fontfamily=theme.FONT, color=theme.FAINT
        )
    axes.set_facecolor("white")
    axes.set_axisbelow(True)
    axes.grid(visible=True, which="major", color=theme.GRID, linewidth=0.7, linestyle="-")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(color=theme.FAINT, linewidth=0.8)
    axes.tick_params(
        which="both",
        direction="out",
        pad=_TICK_PAD,
        color=theme.FAINT,
        labelcolor=theme.INK,
        labelsize=theme.TICK_SIZE,
        labelfontfamily=theme.FONT,
    )


def small_title(axes: Axes, title: str, size: float) -> None:
    """Give a panel too small for the usual one a title of its width."""
    axes.set_title(title, loc="left", y=1.0, pad=2.0, fontsize=size, fontfamily=theme.FONT, color=theme.INK)


def head(figure: Figure, title: str | None, default: str = "") -> None:
    """Write the title above all panels, the default if it is None; nothing when it is empty."""
    if title := default if title is None else title:
        figure.suptitle(
            "\n".join(_wrapped(title, figure.get_figwidth())),
            fontsize=theme.TITLE_SIZE,
            fontfamily=theme.FONT,
            color=theme.INK,
        )


def label_x(axes: Axes, text: str) -> None:
    """Label the x axis."""
    axes.set_xlabel(text, fontsize=theme.LABEL_SIZE, fontfamily=theme.FONT, color=theme.INK)


def label_y(axes: Axes, text: str) -> None:
    """Label the y axis."""
    axes.set_ylabel(text, fontsize=theme.LABEL_SIZE, fontfamily=theme.FONT, color=theme.INK)


def legend(figure: Figure, handles: Sequence[Artist], title: str) -> None:
    """Put the legend right of all panels, where it covers no data and nothing clips it."""
    from matplotlib.font_manager import FontProperties

    lines = sum(str(handle.get_label()).count("\n") + 1 for handle in handles) + 1
    box = figure.legend(
        handles=list(handles),
        # Not at the upper edge, where a long title would run into it.
        loc="outside right center",
        ncols=math.ceil(lines * _LEGEND_LINE / figure.get_figheight()),
        title=title,
        frameon=False,
        handlelength=2.6,
        prop=FontProperties(family=theme.FONT, size=theme.TICK_SIZE),
        title_fontproperties=FontProperties(family=theme.FONT, size=theme.TICK_SIZE, weight="bold"),
        labelcolor=theme.INK,
        alignment="left",
    )
    box.get_title().set_color(theme.INK)


def line_handle(label: str, **look: Any) -> Artist:
    """Return a legend entry that looks like a line or its marks; ``look`` goes to ``Line2D``."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, **look)


def marks(panel: Axes, points: npt.NDArray[Any], area: float, look: dict[str, Any]) -> PathCollection:
    """Build the same as ``panel.scatter``, but skip its slow handling of units and color cycles."""
    from matplotlib.collections import PathCollection
    from matplotlib.markers import MarkerStyle
    from matplotlib.transforms import IdentityTransform

    marker = MarkerStyle(look.pop("marker"))
    path = marker.get_path().transformed(marker.get_transform())
    marks = PathCollection([path], sizes=[area], offsets=points, offset_transform=panel.transData, **look)
    marks.set_transform(IdentityTransform())
    return marks


def write_if_empty(axes: Axes, values: Iterable[float]) -> None:
    """Write "no data" where no value is finite."""
    if not any(map(math.isfinite, values)):
        write_no_data(axes)


def write_no_data(axes: Axes) -> None:
    """Write "no data" in the middle of a panel."""
    axes.text(
        0.5,
        0.5,
        "no data",
        transform=axes.transAxes,
        ha="center",
        va="center",
        fontsize=theme.LABEL_SIZE,
        fontfamily=theme.FONT,
        color=theme.FAINT,
        # Else the line at 0 goes through it.
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 2.0},
        zorder=4.0,
    )


def stagger_tick_labels(figure: Figure, *panels: Axes, thin: bool = False) -> None:
    """Move x tick labels that would touch their neighbors to a row below; if ``thin``, leave them out."""
    # One layout for all panels, since the layout takes most of the time.
    figure.draw_without_rendering()
    for axes in panels:
        ticks = axes.xaxis.get_major_ticks()
        boxes = [tick.label1.get_window_extent() for tick in ticks]
        if thin:
            kept = _apart(boxes)
            for place, tick in enumerate(ticks):
                tick.label1.set_visible(place in kept)
            continue
        row_height = max(box.height for box in boxes) * 72.0 / figure.dpi + 2.0
        for tick, row in zip(ticks, _rows(boxes), strict=True):
            tick.set_pad(_TICK_PAD + row * row_height)


def _apart(boxes: Sequence[Bbox]) -> set[int]:
    """Return the places of boxes that do not touch: the last one, then from left to right what fits before it."""
    kept, end = {len(boxes) - 1}, -math.inf
    for place, box in enumerate(boxes[:-1]):
        if box.x0 > end + _LABEL_GAP_PIXELS and box.x1 + _LABEL_GAP_PIXELS < boxes[-1].x0:
            kept.add(place)
            end = box.x1
    return kept


def _rows(boxes: Sequence[Bbox]) -> list[int]:
    """Assign each box, from left to right, to the first row in which it touches no other."""
    ends: list[float] = []
    rows = []
    for box in boxes:
        row = next((row for row, end in enumerate(ends) if box.x0 > end + _LABEL_GAP_PIXELS), len(ends))
        ends[row : row + 1] = [box.x1]
        rows.append(row)
    return rows
