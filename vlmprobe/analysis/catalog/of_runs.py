"""Declares what a run has once, not in each layer."""

from __future__ import annotations

from functools import partial

from vlmprobe.analysis.catalog.corrected import AXIS_COHERENCE_BALANCED
from vlmprobe.analysis.catalog.published import AXIS_COHERENCE
from vlmprobe.analysis.catalog.targets import (
    CONSISTENT,
    COUNTER,
    GAP,
    axes_and_overall,
    each_axis,
    each_axis_pair,
)
from vlmprobe.analysis.entries import Entry, Interval, fixed
from vlmprobe.pairs.axes import DEPTH

__all__ = [
    "ACCURACIES",
    "ACCURACY_PERSPECTIVE",
    "AXIS_COHERENCE_BALANCED_PEAK",
    "AXIS_COHERENCE_BALANCED_PEAK_LAYER",
    "AXIS_COHERENCE_PEAK",
    "AXIS_COHERENCE_PEAK_LAYER",
    "AXIS_COHERENCE_SPLIT",
    "AXIS_COHERENCE_SPLIT_LAYER",
    "CONSISTENT_SHARE",
    "INPUTS",
    "LAYER_CANDIDATES",
    "PCA",
    "RECOMMENDED_LAYER",
    "VD_EI_HIGHEST",
    "VD_EI_LOWEST",
    "VD_EI_MEDIAN",
    "VD_EI_SPLIT",
]

#: Which question of a pair -> the metric of how often the model answers it correctly.
ACCURACIES = {
    side: Entry(name=f"accuracy.{side}", title=title, targets=axes_and_overall, per_layer=False)
    for side, title in (
        ("orig", "Original question right"),
        ("swap", "Swapped question right"),
        ("both", "Both questions right"),
    )
}
ACCURACY_PERSPECTIVE = Entry(
    name="accuracy.perspective",
    title="Both questions right, by perspective",
    targets=partial(fixed, targets=tuple(f"{DEPTH}/{part}" for part in (CONSISTENT, COUNTER, GAP))),
    per_layer=False,
    no_figure="the headline of the report, and accuracy_bars by perspective, show it",
)
CONSISTENT_SHARE = Entry(
    name="consistent_share",
    title="Share of consistent pairs",
    targets=partial(fixed, targets=(DEPTH,)),
    per_layer=False,
    no_figure="of the benchmark, not of the model; it stands beside every VD-EI over all pairs, which follows it",
)
AXIS_COHERENCE_PEAK = Entry(
    name=f"{AXIS_COHERENCE.name}.peak",
    title="Peak of axis coherence",
    targets=each_axis,
    per_layer=False,
    interval=Interval.NOT_COVERING,
)
AXIS_COHERENCE_PEAK_LAYER = Entry(
    name=f"{AXIS_COHERENCE_PEAK.name}_layer",
    title="Layer of the peak of axis coherence",
    targets=each_axis,
    per_layer=False,
)
_CHOSEN = "a number of a run, shown in the report's table of peaks"
AXIS_COHERENCE_SPLIT = Entry(
    name="axis_coherence.split",
    title="Axis coherence at layers that the other half of the images chose",
    targets=each_axis,
    per_layer=False,
    interval=Interval.SPLIT_HALVES,
    no_figure=_CHOSEN,
)
AXIS_COHERENCE_SPLIT_LAYER = Entry(
    name=f"{AXIS_COHERENCE_SPLIT.name}_layer",
    title="Layers that the two halves of the images chose",
    per_layer=False,
    is_number=False,
    no_figure="two layer numbers for each axis and pair of axes",
)
VD_EI_SPLIT = Entry(
    name="vd_ei.split",
    title="VD-EI, corrected, at layers that the other half of the images chose",
    targets=each_axis_pair,
    per_layer=False,
    interval=Interval.SPLIT_HALVES,
    no_figure="one number for each pair of axes; read it beside vd_ei.corrected over layers",
)
AXIS_COHERENCE_BALANCED_PEAK = Entry(
    name=f"{AXIS_COHERENCE_BALANCED.name}.peak",
    title="Peak of axis coherence (balanced)",
    targets=each_axis,
    per_layer=False,
    interval=Interval.SIMULTANEOUS,
    no_figure=_CHOSEN,
)
AXIS_COHERENCE_BALANCED_PEAK_LAYER = Entry(
    name=f"{AXIS_COHERENCE_BALANCED_PEAK.name}_layer",
    title="Layer of the peak of axis coherence (balanced)",
    targets=each_axis,
    per_layer=False,
    no_figure=_CHOSEN,
)
VD_EI_LOWEST, VD_EI_MEDIAN, VD_EI_HIGHEST = (
    Entry(
        name=f"vd_ei.range_{part}",
        title=f"VD-EI, corrected: {title} over the layers worth reading",
        targets=each_axis_pair,
        per_layer=False,
        no_figure="how far VD-EI depends on the layer; read the three together",
    )
    for part, title in (("min", "lowest"), ("median", "median"), ("max", "highest"))
)
RECOMMENDED_LAYER = Entry(
    name="recommended_layer",
    title="Recommended layer, and the axes that it holds for",
    per_layer=False,
    is_number=False,
    no_figure="a layer, shown as a table in the report",
)
LAYER_CANDIDATES = Entry(
    name="layer_candidates",
    title="Layers worth reading",
    per_layer=False,
    is_number=False,
    no_figure="a list of layers, shown as a table in the report",
)
PCA = Entry(name="pca", title="Principal components", is_number=False)
#: What a run's numbers were computed from; no metric, so it is not in the catalog.
INPUTS = Entry(name="inputs", title="What the numbers were computed from", is_number=False)
