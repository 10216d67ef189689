"""Scatter plots of one layer's states and deltas on their principal components."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.results import PointCloud
from vlmprobe.errors import UsageError, unknown_name
from vlmprobe.figures import frame, theme, validity
from vlmprobe.pairs.axes import SPACE, Side

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from vlmprobe.figures.validity import Unreliable
    from vlmprobe.pairs.axes import AxisSet, Category

__all__ = ["pca_3d", "pca_panels"]

_OPACITY = 0.6
#: In square points; smaller marks keep a cloud of thousands of points from becoming a blot.
_AREA, _SMALL_AREA = 13.0, 7.0
_SMALL_FROM = 800
#: Inches, of the figures of one layer: size, where the three panels begin, and bottom, width and height of each.
_PANELS_SIZE = (frame.FULL_WIDTH + 1.6, 3.9)
_PANEL_LEFTS = (0.82, 3.94, 7.06)
_PANEL_REST = (0.5, 2.26, 2.92)
#: Left, bottom, width and height of the 3-D panel, which has its labels inside.
_SPACE_PANEL = (0.1, 0.1, 5.2, 4.45)
_STATES_NOTE = "filled: original question\nhollow: swapped question"


def pca_panels(
    states: PointCloud,
    deltas: PointCloud,
    *,
    axes: AxisSet = SPACE,
    unreliable: Unreliable | None = None,
    title: str | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw three panels: states by category, deltas by axis, deltas by category; PC1 on x, PC2 on y.

    The axis labels hold the explained variance. Both axes of a panel have one unit, so distances can be
    compared in every direction. States of the swapped questions are hollow.

    Args:
        states: of both sides, with ``sides``, or of one.
        deltas: of the same layer; not sign-corrected, so that opposite categories lie on opposite sides.
        axes: the set that the categories are of.
        unreliable: (family, scale) -> categories whose points are drawn pale, as crosses.
        title: above the panels; None = what is shown, empty = nothing.
        figure: emptied and drawn into; None = a new one.

    Raises:
        UsageError: points that are not (N, 2 or more), labels that are not N categories, or two layers.
    """
    for cloud in (states, deltas):
        _check("pca_panels", cloud, 2, axes)
    if (states.family, states.scale, states.layer) != (deltas.family, deltas.scale, deltas.layer):
        raise UsageError(
            f"pca_panels: states of {_name(states)} do not match deltas of {_name(deltas)}; pass one layer of one scale"
        )
    faded = validity.faded_categories(unreliable, axes, deltas.family, deltas.scale)
    if title is None:
        title = f"Principal components: {_name(deltas)}, {_subset(deltas)}"
    panels: Any
    if figure is None and not faded and frame.is_one_line(title, _PANELS_SIZE[0]):
        figure = frame.sheet(*_PANELS_SIZE)
        panels = [frame.put(figure, left, *_PANEL_REST) for left in _PANEL_LEFTS]
    else:
        figure = frame.blank(figure, *_PANELS_SIZE)
        panels = figure.subplots(1, 3, squeeze=False)[0]
    for panel, cloud, what, by_axis in zip(
        panels,
        (states, deltas, deltas),
        ("states by category", "deltas by axis", "deltas by category"),
        (False, True, False),
        strict=True,
    ):
        frame.dress(panel, what, f"n = {len(cloud.points)}")
        _scatter(panel, cloud, axes, by_axis=by_axis, faded=faded)
        frame.label_x(panel, _component(cloud, 0))
        frame.label_y(panel, _component(cloud, 1))
        panel.set_aspect("equal", adjustable="datalim")
        _few_ticks(panel)
    handles = _handles([states, deltas], axes, faded)
    if Side.SWAP in states.sides:
        handles.append(frame.line_handle(_STATES_NOTE, linestyle="none"))
    frame.legend(figure, handles, "category")
    frame.head(figure, title)
    return figure


def pca_3d(
    clouds: PointCloud | Sequence[PointCloud],
    *,
    axes: AxisSet = SPACE,
    unreliable: Unreliable | None = None,
    title: str | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw the deltas of one layer, or of several to compare (three a row), on three principal components.

    The axis labels hold the explained variance. A category's color and its axis's mark say what a point is.

    Args:
        clouds: one, or several in the order given.
        axes: the set that the categories are of.
        unreliable: (family, scale) -> categories whose points are drawn pale, as crosses.
        title: above the panels; None = what is shown, empty = nothing.
        figure: emptied and drawn into; None = a new one.

    Raises:
        UsageError: no cloud, points that are not (N, 3 or more), or labels that are not N categories.
    """
    shown = [clouds] if isinstance(clouds, PointCloud) else list(clouds)
    if not shown:
        raise UsageError("pca_3d: no points to draw; run `vlmprobe analyze` first")
    for cloud in shown:
        _check("pca_3d", cloud, 3, axes)
    columns = min(3, len(shown))
    rows = math.ceil(len(shown) / columns)
    width = {1: 6.8, 2: 8.8, 3: frame.FULL_WIDTH + 1.6}[columns]
    height = 0.6 + rows * {1: 4.6, 2: 3.5, 3: 3.1}[columns]
    every = frozenset[str]().union(
        *(validity.faded_categories(unreliable, axes, cloud.family, cloud.scale) for cloud in shown)
    )
    if title is None:
        subsets = " / ".join(sorted({_subset(cloud) for cloud in shown}))
        title = f"Principal components of the deltas: {subsets}"
    panels: Any
    if figure is None and len(shown) == 1 and not every and frame.is_one_line(title, width):
        figure = frame.sheet(width, height)
        panels = [frame.put(figure, *_SPACE_PANEL, projection="3d")]
    else:
        figure = frame.blank(figure, width, height)
        panels = frame.panels(figure, len(shown), columns, subplot_kw={"projection": "3d"})
    for panel, cloud in zip(panels, shown, strict=True):
        faded = validity.faded_categories(unreliable, axes, cloud.family, cloud.scale)
        _space(panel, cloud, axes, faded, columns)
    frame.legend(figure, _handles(shown, axes, every), "category")
    frame.head(figure, title)
    return figure


def _check(what: str, cloud: PointCloud, components: int, axes: AxisSet) -> None:
    shape = cloud.points.shape
    if len(shape) != 2 or shape[1] < components or len(cloud.explained) < components:
        raise UsageError(
            f"{what}: {_name(cloud)} has points of shape {shape} and {len(cloud.explained)} variance shares; "
            f"expected (N, {components}) and {components}; project onto {components} components"
        )
    if len(cloud.labels) != shape[0] or len(cloud.sides) not in {0, shape[0]}:
        raise UsageError(
            f"{what}: {shape[0]} points of {_name(cloud)} with {len(cloud.labels)} labels and "
            f"{len(cloud.sides)} sides; pass one of each per point"
        )
    for label in sorted(set(cloud.labels) - set(axes.categories)):
        raise unknown_name("category", label, [str(category) for category in axes.categories])


def _scatter(panel: Axes, cloud: PointCloud, axes: AxisSet, *, by_axis: bool, faded: frozenset[str]) -> None:
    """Draw the first two components, the pale ones below."""
    labels, sides = np.asarray(cloud.labels, dtype=np.str_), np.asarray(cloud.sides, dtype=np.str_)
    area = _AREA if len(labels) < _SMALL_FROM else _SMALL_AREA
    if not np.isfinite(cloud.points[:, :2]).any():
        frame.write_no_data(panel)
    for category in axes.categories:
        rows = labels == category
        hollow = rows & (sides == Side.SWAP) if len(sides) else np.zeros(len(rows), dtype=bool)
        for part, is_hollow in ((rows & ~hollow, False), (hollow, True)):
            if part.any():
                look = _look(category, category in faded, is_hollow, by_axis=by_axis)
                panel.add_collection(frame.marks(panel, cloud.points[part, :2], area, look), autolim=False)
    panel.update_datalim(cloud.points[:, :2])
    panel.autoscale_view()
    panel.axhline(0.0, color=theme.GRID, linewidth=0.9, zorder=1.0)
    panel.axvline(0.0, color=theme.GRID, linewidth=0.9, zorder=1.0)
    panel.grid(visible=False)


def _look(category: Category, pale: bool, hollow: bool, *, by_axis: bool = False) -> dict[str, Any]:
    color = category.axis.color if by_axis else category.color
    if pale:
        return {"color": theme.pale(color), "marker": "x", "linewidths": 0.9, "zorder": 2.0}
    look = {"marker": category.axis.marker, "alpha": _OPACITY, "zorder": 3.0}
    if hollow:
        return {**look, "facecolors": "none", "edgecolors": color, "linewidths": 0.8}
    return {**look, "color": color, "linewidths": 0.0}


def _space(panel: Any, cloud: PointCloud, axes: AxisSet, faded: frozenset[str], columns: int) -> None:
    """Draw three components into a panel of the 3-D projection, which matplotlib leaves untyped."""
    from matplotlib.ticker import MaxNLocator

    labels = np.asarray(cloud.labels, dtype=np.str_)
    area = _AREA if len(labels) < _SMALL_FROM else _SMALL_AREA
    for category in axes.categories:
        x, y, z = cloud.points[labels == category, :3].T
        if len(x):
            # Shading by depth would turn one category's tint into the other's.
            panel.scatter(
                x, y, z, s=area, depthshade=False, **_look(category, category in faded, hollow=False)
            )
    panel.set_title(
        f"{_name(cloud)}\nn = {len(labels)}",
        fontsize=theme.LABEL_SIZE,
        fontfamily=theme.FONT,
        fontweight="bold",
        color=theme.INK,
        y=1.0,
        pad=0.0,
    )
    for number, axis in enumerate((panel.xaxis, panel.yaxis, panel.zaxis)):
        axis.set_major_locator(MaxNLocator(nbins=4))
        axis.set_pane_color((0.975, 0.975, 0.975, 1.0))
        axis.line.set_color(theme.FAINT)
        axis.set_label_text(
            _component(cloud, number),
            fontsize=theme.LABEL_SIZE if columns < 3 else theme.TICK_SIZE,
            fontfamily=theme.FONT,
            color=theme.INK,
        )
        axis.labelpad = -1.0
        axis.set_tick_params(labelsize=theme.SMALL_SIZE, labelfontfamily=theme.FONT, pad=-1.0)
    panel.view_init(elev=22.0, azim=-58.0)
    # Room for the labels, which the layout does not see.
    panel.set_box_aspect((1.0, 1.0, 0.85), zoom=0.98 if columns == 1 else 0.95)
    # Else it covers the label at the right edge of the panel before.
    panel.patch.set_visible(False)
    if not np.isfinite(cloud.points[:, :3]).any():
        panel.text2D(
            0.5, 0.5, "no data", transform=panel.transAxes, ha="center", va="center", color=theme.FAINT
        )


def _component(cloud: PointCloud, number: int) -> str:
    share = cloud.explained[number]
    return f"PC{number + 1} ({100 * share:.1f} %)" if math.isfinite(share) else f"PC{number + 1}"


def _few_ticks(panel: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    panel.xaxis.set_major_locator(MaxNLocator(nbins=5))
    panel.yaxis.set_major_locator(MaxNLocator(nbins=5))


def _handles(clouds: Sequence[PointCloud], axes: AxisSet, faded: frozenset[str]) -> list[Artist]:
    given = {label for cloud in clouds for label in cloud.labels}
    handles: list[Artist] = []
    for category in (each for each in axes.categories if each in given):
        label, color, marker = str(category), category.color, category.axis.marker
        if category in faded:
            label, color, marker = f"{category} {validity.CROSS}", theme.pale(color), "x"
        handles.append(frame.line_handle(label, linestyle="none", marker=marker, color=color, markersize=6.0))
    if faded & given:
        handles.append(validity.handle(line=False))
    return handles


def _name(cloud: PointCloud) -> str:
    return f"{cloud.family} @ {cloud.scale}, layer {cloud.layer}"


def _subset(cloud: PointCloud) -> str:
    return theme.subset_title(cloud.subset)
