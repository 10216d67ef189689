"""Declares what two or more runs on the same pairs are compared by."""

from __future__ import annotations

from vlmprobe.analysis.catalog.corrected import AXIS_COHERENCE_BALANCED, VD_EI_CORRECTED
from vlmprobe.analysis.catalog.targets import axes_and_overall, each_axis, each_axis_pair, vd_ei_alone
from vlmprobe.analysis.entries import Entry, Interval

__all__ = [
    "AXIS_COSINE",
    "COMPARISONS",
    "DELTA_ABOVE_CONTROL",
    "DELTA_ACCURACY",
    "DELTA_COHERENCE",
    "DELTA_VD_EI",
    "DELTA_VD_EI_SIZE",
    "TREND_ACCURACY",
    "TREND_COHERENCE",
    "TREND_VD_EI_SIZE",
    "VD_EI_OF_CONTROL",
]

_NO_RUN_HAS_IT = "it is about two runs or more; see 'vlmprobe compare'"
#: Differences of runs on the same pairs, later minus earlier; ``compare`` computes them and no run stores them.
DELTA_ACCURACY, TREND_ACCURACY = (
    Entry(name=f"{what}.accuracy", title=title, targets=axes_and_overall, no_figure=_NO_RUN_HAS_IT)
    for what, title in (("delta", "Difference in accuracy"), ("trend", "Slope of accuracy"))
)
DELTA_COHERENCE, TREND_COHERENCE = (
    Entry(
        name=f"{what}.{AXIS_COHERENCE_BALANCED.name}",
        title=title,
        targets=each_axis,
        interval=Interval.JACKKNIFE,
        no_figure=_NO_RUN_HAS_IT,
    )
    for what, title in (("delta", "Difference in coherence"), ("trend", "Slope of coherence"))
)
DELTA_ABOVE_CONTROL = Entry(
    name=f"{DELTA_COHERENCE.name}.above_control",
    title="Difference in coherence above that of the control",
    targets=each_axis,
    interval=Interval.JACKKNIFE,
    no_figure=_NO_RUN_HAS_IT,
)
#: Not among COMPARISONS: it is ``vd_ei.corrected`` of the controls, side by side.
VD_EI_OF_CONTROL = Entry(
    name=f"{VD_EI_CORRECTED.name}.of_control",
    title="VD-EI (corrected) of the controls",
    targets=vd_ei_alone,
    interval=Interval.JACKKNIFE,
    no_figure=_NO_RUN_HAS_IT,
)
DELTA_VD_EI, DELTA_VD_EI_SIZE, TREND_VD_EI_SIZE = (
    Entry(
        name=name.format(VD_EI_CORRECTED.name),
        title=title,
        targets=each_axis_pair,
        interval=Interval.JACKKNIFE,
        no_figure=_NO_RUN_HAS_IT,
    )
    for name, title in (
        ("delta.{}", "Difference in VD-EI"),
        ("delta.{}.size", "Difference in the size of VD-EI"),
        ("trend.{}.size", "Slope of the size of VD-EI"),
    )
)
AXIS_COSINE = Entry(
    name="axis_cosine",
    title="Cosine of an axis in one run and in another",
    targets=each_axis,
    interval=Interval.JACKKNIFE,
    no_figure=_NO_RUN_HAS_IT,
)
#: Name -> entry of what ``compare`` prints, in its order; each has rows in the simulation tables.
COMPARISONS = {
    entry.name: entry
    for entry in (
        DELTA_ACCURACY,
        DELTA_COHERENCE,
        DELTA_ABOVE_CONTROL,
        DELTA_VD_EI,
        DELTA_VD_EI_SIZE,
        AXIS_COSINE,
        TREND_ACCURACY,
        TREND_COHERENCE,
        TREND_VD_EI_SIZE,
    )
}
