"""Figures against training: accuracy on either question, peaks over layers, and the two together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.analysis.catalog import axes_and_overall, entry_of
from vlmprobe.errors import UsageError
from vlmprobe.figures import frame, many_scales, theme, validity
from vlmprobe.figures import over_training as training
from vlmprobe.figures.checks import check_marks, check_one_metric
from vlmprobe.figures.over_training import Reading, accuracy_reading
from vlmprobe.pairs.axes import SPACE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from vlmprobe.analysis.results import AccuracyPoint, PeakPoint
    from vlmprobe.figures.theme import Look
    from vlmprobe.figures.validity import Unreliable
    from vlmprobe.pairs.axes import AxisSet

__all__ = ["ablation", "accuracy_trajectory", "peaks_over_scales"]

_SIDES = (
    ("acc_orig", "original question right", 0.5),
    ("acc_swap", "swapped question right", 0.5),
    ("acc_both", "both right", 0.25),
)


@dataclass(frozen=True, slots=True)
class _Column:
    """One column of panels, with one row per family."""

    title: str
    ylabel: str
    readings: Sequence[Reading]
    ylim: tuple[float, float] | None = None
    guess: float | None = None
    whole: bool = False
    """Whether only whole numbers make sense."""


def accuracy_trajectory(
    points: Sequence[AccuracyPoint],
    *,
    axes: AxisSet = SPACE,
    title: str | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw accuracy on the original question, the swapped one and both against training, by axis or by category.

    Families are rows; x is that of ``over_training``. By axis each value has its Wilson 95 % bounds; by
    category, where six bars would cover each other, it has none, and a hollow mark stands for a category that
    is not reliable. The dotted line is a guess.

    Args:
        points: all by axis (and ``overall``) or all by category, one a (family, scale, name).
        axes: the set that the targets are of.
        title: above the panels; None = what is shown, empty = nothing.
        figure: emptied and drawn into; None = a new one.

    Raises:
        UsageError: no points, axes mixed with categories, an unknown name, or two points for one mark.
    """
    kinds = {"category" if point.target in axes.categories else "axis" for point in points}
    if len(kinds) > 1:
        raise UsageError("accuracy_trajectory: axes and categories in one figure; pass points of one kind")
    by_category = "category" in kinds
    kind = "category" if by_category else "axis"
    known = tuple(map(str, axes.categories)) if by_category else axes_and_overall(axes)
    readings = {
        side: [accuracy_reading(point, side, bars=not by_category) for point in points]
        for side, _, _ in _SIDES
    }
    _check("accuracy_trajectory", readings["acc_both"], kind, known)
    looks = _looks(readings["acc_both"], known, axes)
    counts = frame.count_note(point.n for point in points)
    figure = _draw(
        figure,
        [
            _Column(name, f"share of pairs ({counts})", readings[side], (-0.03, 1.03), guess)
            for side, name, guess in _SIDES
        ],
        looks,
    )
    handles = [training.handle(look, theme.target_title(name, axes)) for name, look in looks.items()]
    handles.append(training.guess_handle("guessed (0.5; both: 0.25)"))
    if any(one.hollow for one in readings["acc_both"]):
        handles.append(training.hollow_handle("original or swapped right\nless than half the time"))
    frame.legend(figure, handles, kind)
    frame.head(figure, title, f"Accuracy over scales by {kind}")
    return _staggered(figure, points)


def peaks_over_scales(
    peaks: Sequence[PeakPoint],
    *,
    axes: AxisSet = SPACE,
    limits: tuple[float, float] | None = None,
    unreliable: Unreliable | None = None,
    title: str | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw the largest value of a metric over the layers against training, and beside it the layer where it is.

    Families are rows; x is that of ``over_training``. Bars are the intervals of the values.

    Args:
        peaks: of one metric and subset, one a (family, scale, target).
        axes: the set that the targets are of.
        limits: y range of the values; None = that of these peaks.
        unreliable: (family, scale) -> categories whose marks, and those of their axes, are hollow.
        title: above the panels; None = the metric and the subset, empty = nothing.
        figure: emptied and drawn into; None = a new one.

    Raises:
        UsageError: no peaks, several metrics or subsets, two peaks for one mark, or an unknown category.
    """
    readings = [_peak(peak, axes, unreliable) for peak in peaks]
    _check("peaks_over_scales", readings, "target", None)
    check_one_metric("peaks_over_scales", peaks)
    looks = _looks(readings, theme.sort_targets((peak.target for peak in peaks), axes), axes)
    layers = [
        Reading(
            peak.family,
            peak.scale,
            peak.samples_seen,
            peak.target,
            math.nan if peak.layer is None else float(peak.layer),
            hollow=one.hollow,
        )
        for peak, one in zip(peaks, readings, strict=True)
    ]
    figure = _draw(
        figure,
        [
            _Column("largest value", entry_of(peaks[0].metric).label, readings, limits),
            _Column("layer of that value", "decoder layer", layers, whole=True),
        ],
        looks,
    )
    handles = [training.handle(look, theme.target_title(name, axes)) for name, look in looks.items()]
    if any(one.hollow for one in readings):
        handles.append(training.hollow_handle("answered correctly less\nthan half the time"))
    frame.legend(figure, handles, "target")
    default = f"Peak over layers: {theme.metric_title(entry_of(peaks[0].metric), peaks[0].subset)}"
    frame.head(figure, title, default)
    return _staggered(figure, peaks)


def ablation(
    points: Sequence[AccuracyPoint],
    peaks: Sequence[PeakPoint],
    *,
    axes: AxisSet = SPACE,
    limits: tuple[float, float] | None = None,
    title: str | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw samples seen against the accuracy on both questions and against the peak of a metric, side by side.

    Families are rows. x is symmetric-logarithmic: the untrained checkpoint at 0, logarithmic from the smallest
    number on. Checkpoints whose samples are unknown, such as other people's, stand right of a dotted line.

    Args:
        points: one a (family, scale, axis); axes and ``overall``.
        peaks: of one metric and subset (axis coherence, say), one a (family, scale, axis).
        axes: the set that the targets are of.
        limits: y range of the peaks; None = that of these.
        title: above the panels; None = what is shown, empty = nothing.
        figure: emptied and drawn into; None = a new one.

    Raises:
        UsageError: nothing to draw, an unknown axis, several metrics or subsets, or two values for one mark.
    """
    accuracies = [accuracy_reading(point, "acc_both") for point in points]
    values = [_peak(peak, axes) for peak in peaks]
    _check("ablation", accuracies, "axis", axes_and_overall(axes))
    _check("ablation", values, "axis", [str(axis) for axis in axes])
    check_one_metric("ablation", peaks)
    looks = _looks([*accuracies, *values], axes_and_overall(axes), axes)
    name = theme.metric_title(entry_of(peaks[0].metric), peaks[0].subset)
    figure = _draw(
        figure,
        [
            _Column("accuracy, both right", "share of pairs", accuracies, (-0.03, 1.03), 0.25),
            _Column("peak over layers", entry_of(peaks[0].metric).label, values, limits),
        ],
        looks,
    )
    handles = [training.handle(look, theme.target_title(series, axes)) for series, look in looks.items()]
    frame.legend(figure, [*handles, training.guess_handle("both guessed (0.25)")], "axis")
    frame.head(figure, title, f"Accuracy and {name} over training")
    return _staggered(figure, [*points, *peaks])


def _peak(peak: PeakPoint, axes: AxisSet, unreliable: Unreliable | None = None) -> Reading:
    return Reading(
        peak.family,
        peak.scale,
        peak.samples_seen,
        peak.target,
        peak.value,
        math.nan if peak.ci_low is None else peak.ci_low,
        math.nan if peak.ci_high is None else peak.ci_high,
        hollow=validity.is_faded(unreliable, axes, peak.family, peak.scale, peak.target),
    )


def _check(what: str, readings: Sequence[Reading], kind: str, known: Sequence[str] | None) -> None:
    marks = [(one.family, one.scale, one.series) for one in readings]
    nothing = "nothing to draw; run `vlmprobe extract` and `vlmprobe analyze`"
    check_marks(what, marks, "values", nothing, kind=kind, known=known)


def _looks(readings: Sequence[Reading], order: Sequence[str], axes: AxisSet) -> dict[str, Look]:
    given = {one.series for one in readings}
    return theme.target_looks((name for name in order if name in given), axes)


def _draw(figure: Figure | None, columns: Sequence[_Column], looks: Mapping[str, Look]) -> Figure:
    families = sorted({one.family for column in columns for one in column.readings})
    wide = frame.FULL_WIDTH + (1.6 if len(columns) > 2 else 0.0)
    figure = frame.blank(figure, wide, 0.8 + 3.0 * len(families))
    grid = figure.subplots(len(families), len(columns), sharey="col", squeeze=False)
    for family, panels in zip(families, grid, strict=True):
        for column, panel in zip(columns, panels, strict=True):
            frame.dress(panel, f"{family}: {column.title}" if len(families) > 1 else column.title)
            shown = [one for one in column.readings if one.family == family]
            _fill(panel, column, shown, looks, brief=len(columns) > 2)
    for panel in grid[-1]:
        frame.label_x(panel, training.LABEL)
    return figure


def _fill(
    panel: Axes, column: _Column, shown: Sequence[Reading], looks: Mapping[str, Look], *, brief: bool
) -> None:
    from matplotlib.ticker import MaxNLocator

    if column.guess is not None:
        panel.axhline(column.guess, color=theme.FAINT, linewidth=0.9, linestyle=":", zorder=1.5)
    if shown:
        training.draw(panel, shown, looks, brief=brief)
    else:
        frame.write_no_data(panel)
    if column.ylim is not None:
        panel.set_ylim(*column.ylim)
    if column.whole:
        panel.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    frame.label_y(panel, column.ylabel)


def _staggered(figure: Figure, shown: Sequence[AccuracyPoint | PeakPoint]) -> Figure:
    frame.stagger_tick_labels(figure, *figure.axes, thin=many_scales.are_many(shown))
    return figure
