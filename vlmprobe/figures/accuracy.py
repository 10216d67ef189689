"""Accuracy against training: which scale gets which axis right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.analysis.catalog import axes_and_overall
from vlmprobe.figures import frame, many_scales, theme
from vlmprobe.figures import over_training as training
from vlmprobe.figures.checks import check_points
from vlmprobe.pairs.axes import SPACE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from vlmprobe.analysis.results import AccuracyPoint
    from vlmprobe.pairs.axes import AxisSet

__all__ = ["accuracy_over_scales"]

#: Chance level for both answers: right half of the time on each of two questions.
_GUESSED = 0.25


def accuracy_over_scales(
    points: Sequence[AccuracyPoint],
    *,
    axes: AxisSet = SPACE,
    title: str | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw how often both questions of a pair are answered right, against training, with Wilson 95 % bounds.

    One panel a family. x is logarithmic in the samples seen from the smallest number on, with the untrained
    checkpoint at 0; checkpoints whose number is unknown stand right of a dotted line, unconnected. NaN is a
    gap. The series of one scale are set a little apart, so that their bars can be told apart.

    Args:
        points: one a (family, scale, axis); axes and ``overall``.
        axes: the set that the targets are of.
        title: above the panels; None = what is shown, empty = nothing.
        figure: emptied and drawn into; None = a new one.

    Raises:
        UsageError: no points, an unknown axis, or two points for one mark.
    """
    check_points("accuracy_over_scales", points, "axis", axes_and_overall(axes))
    families = sorted({point.family for point in points})
    figure, panels = frame.pairs_of_panels(figure, len(families), narrow=7.2, row=3.2)
    looks = theme.target_looks(axes_and_overall(axes), axes)
    for family, panel in zip(families, panels, strict=True):
        frame.dress(panel, family)
        panel.axhline(_GUESSED, color=theme.FAINT, linewidth=0.9, linestyle=":", zorder=1.5)
        shown = [training.accuracy_reading(point, "acc_both") for point in points if point.family == family]
        training.draw(panel, shown, looks)
        frame.label_x(panel, training.LABEL)
    for panel in panels[::2]:
        frame.label_y(panel, "both answers right\n(share of pairs)")
    panels[0].set_ylim(-0.03, 1.03)
    given = {point.target for point in points}
    handles = [
        training.handle(look, theme.target_title(axis, axes)) for axis, look in looks.items() if axis in given
    ]
    frame.legend(figure, [*handles, training.guess_handle("both guessed (0.25)")], "axis")
    frame.head(figure, title, "Accuracy over scales, with 95 % bounds")
    frame.stagger_tick_labels(figure, *panels, thin=many_scales.are_many(points))
    return figure
