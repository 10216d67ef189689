"""Declares the metrics of a layer whose definitions are published, and the plain ones beside them."""

from __future__ import annotations

from functools import partial

from vlmprobe.analysis.catalog.targets import (
    CONSISTENT,
    COUNTER,
    CROSSING,
    NULLS,
    OF_MEANS,
    PER_SAMPLE,
    RANDOM_SIGNS,
    SHUFFLED,
    each_axis,
    each_axis_pair,
    each_category,
    each_category_pair,
)
from vlmprobe.analysis.entries import Control, Curves, Entry, Interval, fixed
from vlmprobe.pairs.axes import DEPTH, HEIGHT, Subset

__all__ = [
    "AXIS_COHERENCE",
    "AXIS_COHERENCE_PERSPECTIVE",
    "CROSS_AXIS_ALIGNMENT_CANONICAL",
    "CROSS_AXIS_ALIGNMENT_PUBLISHED",
    "DELTA_NORM",
    "DELTA_RATIO",
    "DELTA_SIMILARITY",
    "PERSPECTIVE_COSINE",
    "VD_EI_EQ3",
    "VD_EI_POOLED",
    "WITHIN_CATEGORY_CONSISTENCY",
    "ZERO_DELTAS",
    "ZERO_QUADS",
]

AXIS_COHERENCE = Entry(
    name="axis_coherence",
    title="Axis coherence",
    one_vector_an_image=True,
    label="mean pairwise cosine of\nsign-corrected deltas",
    targets=each_axis,
    legend="axis",
    curves=Curves(
        "Mean cosine between the sign-corrected deltas of an axis. Near 1, swapping the two objects always moves the "
        "hidden state the same way. Near 0, the direction differs from pair to pair.",
        subsets=tuple(Subset),
    ),
)
WITHIN_CATEGORY_CONSISTENCY = Entry(
    name="within_category_consistency",
    title="Within-category consistency",
    one_vector_an_image=True,
    label="mean pairwise cosine of deltas",
    targets=each_category,
    legend="category",
    curves=Curves(
        "Mean cosine between the deltas of one category. No sign correction is needed. Where few deltas point "
        "elsewhere, the band holds the truth too seldom: at the last layer of the demo in .87 to .96 of studies with "
        "30 to 40 images a category, least for far (800k, 2m) and right (400k)."
    ),
)
DELTA_SIMILARITY = Entry(
    name="delta_similarity",
    title="Similarity of mean deltas",
    interval=Interval.NOT_COVERING,
    label="cosine of mean deltas",
    targets=each_category_pair,
    legend="pair of categories",
)
VD_EI_EQ3 = Entry(
    name="vd_ei.eq3",
    title="Vertical-distance entanglement (VD-EI, Eq. 3)",
    interval=Interval.NOT_COVERING,
    label="VD-EI",
    targets=each_axis_pair,
    legend="pair of axes",
    control=CROSSING,
    curves=Curves(
        "Eq. 3 of the paper: how strongly above goes with far and below with close. Noise brings it nearer to 0, and "
        "where an axis is not resolved it may be noise alone. The controls use the horizontal axis.",
        heading="Vertical-distance entanglement (Eq. 3)",
    ),
)
VD_EI_POOLED = Entry(
    name="vd_ei.pooled",
    title="Vertical-distance entanglement (VD-EI, pooled)",
    interval=Interval.NOT_COVERING,
    label="cosine of the mean deltas",
    targets=each_axis_pair,
    legend="pair of axes",
    control=CROSSING,
    curves=Curves(
        "Cosine of the mean sign-corrected deltas of two axes. Compare it with its controls: an effect also seen in "
        "the controls is not evidence of perspective. Where an axis is not resolved, it may be noise alone.",
        heading="Vertical-distance entanglement (pooled)",
    ),
)
CROSS_AXIS_ALIGNMENT_CANONICAL = Entry(
    name="cross_axis_alignment.canonical",
    # 2: the p-value of the mean cosine is from other draws, and the cosine of the means has one.
    version=2,
    title="Vertical-distance alignment over quads (sign-corrected)",
    plug_ins=(OF_MEANS,),
    label="cosine of sign-corrected vertical\nand distance deltas",
    targets=partial(
        fixed,
        targets=tuple(
            f"{statistic}{part}"
            for part in ("", f"/{CONSISTENT}", f"/{COUNTER}")
            for statistic in (PER_SAMPLE, OF_MEANS, *NULLS)
        ),
    ),
    legend="alignment",
    control=Control(
        partial(fixed, targets=(RANDOM_SIGNS,)),
        "random signs (control\nof the mean over quads)",
        is_band=True,
    ),
    curves=Curves(
        "A quad asks about the height and about the distance of the same two objects. The curve is the "
        "cosine of its two sign-corrected deltas. The gray band holds about 95 % of random signs, at each layer by "
        "itself. Above a panel, n counts quads.",
        heading="Alignment of height and distance over quads",
        stem="alignment",
        targets=(PER_SAMPLE, OF_MEANS),
    ),
)
CROSS_AXIS_ALIGNMENT_PUBLISHED = Entry(
    name="cross_axis_alignment.published",
    title="Vertical-distance alignment over quads (as published)",
    plug_ins=(OF_MEANS,),
    label="cosine of vertical\nand distance deltas",
    targets=partial(fixed, targets=(PER_SAMPLE, OF_MEANS, SHUFFLED)),
    legend="alignment",
    control=Control(
        partial(fixed, targets=(SHUFFLED,)), "shuffled quads (control\nof the mean over quads)", is_band=True
    ),
    # Not in the report: it depends on the share of consistent quads, and serves to compare with published numbers.
    curves=Curves(stem="alignment_published", targets=(PER_SAMPLE, OF_MEANS)),
)
AXIS_COHERENCE_PERSPECTIVE = Entry(
    name=f"{AXIS_COHERENCE.name}.perspective",
    title="Coherence of the distance axis by perspective",
    one_vector_an_image=True,
    label=AXIS_COHERENCE.label,
    targets=partial(fixed, targets=(f"{DEPTH}/{CONSISTENT}", f"{DEPTH}/{COUNTER}")),
    legend="perspective",
    curves=Curves(
        "Axis coherence of the distance pairs whose farther object is higher in the image (consistent), and of those "
        "where it is lower (counter). An axis found only in the consistent pairs may be a height axis "
        "instead. Where few unlike deltas decide, which need not be of wrong answers, the band holds the truth too "
        "seldom: of the consistent pairs at the last layer of the demo's 2m in .88 of studies with 40 images a "
        "perspective, and in .90 with 80."
    ),
)
PERSPECTIVE_COSINE = Entry(
    name="perspective_cosine",
    title="Direction of the distance axis in the two perspectives",
    interval=Interval.NOT_COVERING,
    label="cosine of the two\nperspectives' mean deltas",
    targets=partial(fixed, targets=(f"{CONSISTENT}/{COUNTER}",)),
    legend="perspective",
    curves=Curves(
        "Cosine of the mean sign-corrected deltas of the consistent and of the counter distance "
        "pairs. Near 1, the mean deltas of both perspectives point the same way."
    ),
)
DELTA_RATIO = Entry(
    name="delta_ratio",
    title="Size of the deltas relative to the hidden states",
    label="mean |delta| / |h(orig)|",
    targets=each_category,
    legend="category",
    curves=Curves(
        "Mean |delta|/|h|. Where it is tiny, rounding dominates; ignore the cosines.",
        heading="Size of the delta, relative to the hidden state",
    ),
)
DELTA_NORM = Entry(
    name="delta_norm",
    title="Size of the deltas",
    label="mean |delta|",
    targets=each_category,
    legend="category",
    is_logarithmic=True,
    # Not in the report: it is in the unit of the states; delta_ratio has no unit.
    curves=Curves(),
)
ZERO_DELTAS = Entry(
    name="zero_deltas",
    title="Zero deltas",
    targets=each_axis,
    no_figure="a count of swaps that leave a hidden state unchanged, usually 0; check it if n is lower than expected",
)
ZERO_QUADS = Entry(
    name="zero_quads",
    title="Quads with a zero delta",
    targets=partial(fixed, targets=(f"{HEIGHT}/{DEPTH}",)),
    no_figure="a count, like zero_deltas",
)
