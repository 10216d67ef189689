"""Heatmaps of the cosines between the mean deltas of the categories."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from vlmprobe.analysis.catalog import DELTA_SIMILARITY
from vlmprobe.analysis.results import SimilarityMatrix
from vlmprobe.errors import UsageError
from vlmprobe.figures import frame, many_scales, theme, validity
from vlmprobe.pairs.axes import SPACE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure

    from vlmprobe.figures.validity import Unreliable
    from vlmprobe.pairs.axes import AxisSet

__all__ = ["similarity_heatmap"]

_COLORMAP = "RdBu_r"
#: From this |cosine| on the cell is dark and its number white.
_DARK = 0.62
#: Of the names around small panels.
_SMALL = 5.5
#: Opacity of the white that is laid over pale cells.
_VEIL = 0.68
#: Left, bottom, width and height of the panel of one layer and of its color bar, in inches.
_PANEL = (0.52, 0.5, 3.84, 3.84)
_BAR = (4.54, 0.5, 0.18, 3.84)


def similarity_heatmap(
    matrix: SimilarityMatrix | Sequence[SimilarityMatrix],
    *,
    axes: AxisSet = SPACE,
    unreliable: Unreliable | None = None,
    title: str | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw C x C cosines of mean deltas with their numbers, one panel per matrix, colors from -1 to 1.

    White lines part the axes. A hatched cell has no data. From ten scales on, panels are small and without numbers.

    Args:
        matrix: one, or several to compare (three a row), in the order given.
        axes: the set that the C categories are of.
        unreliable: (family, scale) -> categories whose rows and columns are drawn pale, with a cross at the name.
        title: above the panels; None = what is shown and the subset, empty = nothing.
        figure: emptied and drawn into; None = a new one.

    Raises:
        UsageError: no matrix, one that is not C x C, or an unknown category.
    """
    matrices = [matrix] if isinstance(matrix, SimilarityMatrix) else list(matrix)
    _check(matrices, len(axes.categories))
    small = many_scales.are_many(matrices)
    columns = min(3, len(matrices))
    rows = math.ceil(len(matrices) / columns)
    if small:
        columns, rows = many_scales.small_panels(len(matrices))
    width = {1: 5.4, 2: 8.4}.get(columns, frame.FULL_WIDTH)
    side = (width - 1.4) / columns
    height = 0.8 + rows * (side + 0.15)
    subsets = sorted({one.subset for one in matrices})
    title = theme.metric_title(DELTA_SIMILARITY, " / ".join(subsets)) if title is None else title
    panels: Any
    bar_at: dict[str, Any]
    if figure is None and len(matrices) == 1 and not unreliable and frame.is_one_line(title, width):
        figure = frame.sheet(width, height)
        panels, bar_at = [frame.put(figure, *_PANEL)], {"cax": frame.put(figure, *_BAR)}
    else:
        figure = frame.blank(figure, width, height)
        panels = frame.panels(figure, len(matrices), columns)
        bar_at = {"ax": figure.axes, "shrink": min(1.0, 1.4 / rows)}
    mesh: QuadMesh | None = None
    any_faded = False
    for place, (one, panel) in enumerate(zip(matrices, panels, strict=True)):
        faded = validity.faded_categories(unreliable, axes, one.family, one.scale)
        any_faded |= bool(faded)
        mesh = _panel(panel, one, axes, faded, small=small)
        if small:
            panel.tick_params(labelleft=place % columns == 0, labelbottom=place + columns >= len(matrices))
            panel.tick_params(labelsize=_SMALL, pad=1.0)
        elif not unreliable:
            panel.tick_params(labelleft=place % columns == 0, labelbottom=place + columns >= len(matrices))
    if mesh is not None:
        bar = figure.colorbar(mesh, ticks=[-1, -0.5, 0, 0.5, 1], **bar_at)
        bar.ax.tick_params(labelsize=theme.TICK_SIZE, labelfontfamily=theme.FONT, color=theme.FAINT)
        bar.outline.set_visible(False)
        note = f";\npale, {validity.CROSS}: answered correctly less than half the time" if any_faded else ""
        frame.label_y(bar.ax, f"cosine of mean deltas (hatched: no data{note})")
    frame.head(figure, title)
    return figure


def _check(matrices: Sequence[SimilarityMatrix], side: int) -> None:
    if not matrices:
        raise UsageError("similarity_heatmap: no matrix to draw; run `vlmprobe analyze` first")
    for one in matrices:
        shape = [len(row) for row in one.values]
        if shape != [side] * side:
            name = f"{one.family} @ {one.scale}, layer {one.layer}"
            raise UsageError(
                f"similarity_heatmap: the matrix of {name} has rows of {shape}, not {side} x {side}"
            )


def _panel(
    panel: Axes, one: SimilarityMatrix, axes: AxisSet, faded: frozenset[str], *, small: bool = False
) -> QuadMesh:
    from matplotlib.patches import Rectangle

    if small:
        frame.dress(panel, "")
        frame.small_title(panel, f"{one.scale}\nlayer {one.layer}", _SMALL)
    else:
        frame.dress(panel, f"{one.family} @ {one.scale}, layer {one.layer}")
    panel.grid(visible=False)
    panel.spines[:].set_visible(False)
    mesh = panel.pcolormesh(one.values, cmap=_COLORMAP, vmin=-1.0, vmax=1.0, shading="flat")
    for row, values in enumerate(one.values):
        for column, value in enumerate(values):
            if math.isnan(value):
                cell = Rectangle(
                    (column, row),
                    1,
                    1,
                    facecolor=theme.NO_DATA,
                    edgecolor="#a0a0a0",
                    hatch="////",
                    linewidth=0,
                )
                panel.add_patch(cell)
                continue
            is_pale = bool({axes.categories[row], axes.categories[column]} & faded)
            if is_pale:
                panel.add_patch(Rectangle((column, row), 1, 1, facecolor="white", alpha=_VEIL, linewidth=0))
            if not small:
                _number(panel, column, row, value, is_pale=is_pale)
    side = len(axes.categories)
    for edge in range(2, side, 2):
        panel.axhline(edge, color="white", linewidth=0.8 if small else 2.5)
        panel.axvline(edge, color="white", linewidth=0.8 if small else 2.5)
    panel.set(xlim=(0, side), ylim=(side, 0), aspect="equal")
    middles = [place + 0.5 for place in range(side)]
    turned = 90 if small else 45
    names = [f"{name} {validity.CROSS}" if name in faded else str(name) for name in axes.categories]
    panel.set_xticks(middles, names, rotation=turned, ha="right", rotation_mode="anchor")
    panel.set_yticks(middles, names)
    panel.tick_params(length=0)
    return mesh


def _number(panel: Axes, column: int, row: int, value: float, *, is_pale: bool) -> None:
    panel.text(
        column + 0.5,
        row + 0.5,
        # Adding 0.0 turns a negative zero, which would read as "-0.00", into a plain one.
        f"{round(value, 2) + 0.0:.2f}".replace("-", "\N{MINUS SIGN}"),
        ha="center",
        va="center",
        fontsize=theme.SMALL_SIZE,
        fontfamily=theme.FONT,
        color=theme.FAINT if is_pale else "white" if abs(value) > _DARK else theme.INK,
    )
