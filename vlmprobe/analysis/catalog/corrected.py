"""Declares the metrics of a layer that come from products of different images."""

from __future__ import annotations

from vlmprobe.analysis.catalog.targets import (
    CONSISTENT,
    COUNTER,
    CROSSING,
    GAP,
    controls_of_axis_pair,
    each_axis,
    each_axis_pair,
    each_pair_with_depth,
)
from vlmprobe.analysis.entries import Curves, Entry
from vlmprobe.pairs.axes import Subset

__all__ = [
    "AXIS_COHERENCE_BALANCED",
    "AXIS_TEST",
    "ORDER_COHERENCE",
    "VD_EI_CEILING",
    "VD_EI_CONSISTENT",
    "VD_EI_CORRECTED",
    "VD_EI_COUNTER",
    "VD_EI_EQUAL",
    "VD_EI_EXCESS",
    "VD_EI_GAP",
]

AXIS_COHERENCE_BALANCED = Entry(
    name="axis_coherence.balanced",
    title="Axis coherence (balanced)",
    label="squared length of the mean\neffect of the category",
    targets=each_axis,
    legend="axis",
    curves=Curves(
        "How much of a delta its category decides, from products of different images only: 1 where swapping always "
        "moves the hidden state the same way, against the other category; 0 where the category makes no difference. "
        "What every swap does alike is left out. Where scales have controls, the hatched band of all pairs holds the "
        "intervals of all of them.",
        subsets=tuple(Subset),
    ),
)
ORDER_COHERENCE = Entry(
    name="order_coherence",
    title="Order coherence",
    label="squared length of what\nany swap does alike",
    targets=each_axis,
    legend="axis",
    # Not in the report: it is near 0 unless a template treats its two places differently.
    curves=Curves(),
)
AXIS_TEST = Entry(
    name="axis_test",
    title="p-value of an axis in some layer",
    targets=each_axis,
    per_layer=False,
    no_figure="a p-value of a run; correct it with Holm's rule for the axes, scales and subsets that you look at",
)
VD_EI_CORRECTED = Entry(
    name="vd_ei.corrected",
    title="Vertical-distance entanglement (VD-EI, corrected)",
    label="cosine of the axis effects",
    targets=each_axis_pair,
    legend="pair of axes",
    control=CROSSING,
    curves=Curves(
        "Cosine of the effects of two axes, without the shortening by noise. Where an axis is not resolved at a layer "
        "(its squared length, unadjusted), its angle is not known. Compare its size with the controls; the sign alone "
        "says nothing about pictures. The hatched band of all pairs holds the intervals of the scales' controls (blind "
        "runs, random weights), in layers where any has both axes resolved. No band: no control was run, or none has "
        "both axes, and so no angle.",
        heading="Vertical-distance entanglement (corrected)",
    ),
)
VD_EI_EXCESS = Entry(
    name="vd_ei.excess",
    title="Size of VD-EI less that of its control",
    targets=controls_of_axis_pair,
    no_figure="where the interval of this number holds 0, VD-EI is not resolved as larger than the control",
)
VD_EI_CONSISTENT, VD_EI_COUNTER, VD_EI_EQUAL, VD_EI_GAP = (
    Entry(
        name=f"vd_ei.{part}",
        title=f"VD-EI, corrected: {title}",
        targets=each_pair_with_depth,
        no_figure="read the four side by side, at one layer: VD-EI over all pairs may follow the consistent share",
    )
    for part, title in (
        (CONSISTENT, "consistent distance pairs"),
        (COUNTER, "counter distance pairs"),
        ("equal", "both perspectives with equal weight"),
        (GAP, "consistent minus counter"),
    )
)
VD_EI_CEILING = Entry(
    name="vd_ei.ceiling",
    title="Largest VD-EI that plug-in means can show at this noise",
    targets=each_axis_pair,
    no_figure="how far noise shortens the published VD-EI; read it beside vd_ei.eq3 and vd_ei.pooled",
)
