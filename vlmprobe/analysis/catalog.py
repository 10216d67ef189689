"""Declares each metric once: its name, version, title, labels, targets, control and figures.

To add a metric of layers, declare it here, compute it, and describe it in docs/metrics.md. The database, SQL and, where
the entry has ``curves``, the report and the plots pick it up. Other modules import the entry, never its name.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vlmprobe.analysis.entanglement import axis_pairs, category_pairs
from vlmprobe.analysis.entries import Control, Curves, Entry, Interval, fixed
from vlmprobe.pairs.axes import DEPTH, HEIGHT, Subset

if TYPE_CHECKING:
    from vlmprobe.pairs.axes import AxisSet

__all__ = [
    "CATALOG",
    "COMPARISONS",
    "NULLS",
    "OVERALL",
    "TARGET_TITLES",
    "Control",
    "Curves",
    "Entry",
    "Interval",
    "axes_and_overall",
    "entry_of",
]


def _each_axis(axes: AxisSet) -> tuple[str, ...]:
    return tuple(map(str, axes))


def axes_and_overall(axes: AxisSet) -> tuple[str, ...]:
    """Return the targets of accuracy by axis, in the order of all tables and figures."""
    return (*_each_axis(axes), OVERALL)


def _each_category(axes: AxisSet) -> tuple[str, ...]:
    return tuple(map(str, axes.categories))


def _each_category_pair(axes: AxisSet) -> tuple[str, ...]:
    return tuple("/".join(pair) for pair in category_pairs(axes))


def _each_axis_pair(axes: AxisSet) -> tuple[str, ...]:
    return tuple("/".join(pair) for pair in axis_pairs(axes))


def _each_pair_with_depth(axes: AxisSet) -> tuple[str, ...]:
    return tuple("/".join(pair) for pair in axis_pairs(axes) if pair[1] == DEPTH)


def _controls_of_axis_pair(axes: AxisSet) -> tuple[str, ...]:
    return _each_axis_pair(axes)[1:]


#: The target for all axes together.
OVERALL = "overall"
PER_SAMPLE, OF_MEANS = "per_sample", "of_means"
TARGET_TITLES = {PER_SAMPLE: "mean over quads", OF_MEANS: "cosine of the means"}
SHUFFLED, RANDOM_SIGNS = "shuffled", "random_signs"
#: Targets that hold the mean and spread of null draws, in which there is no effect.
NULLS = (SHUFFLED, RANDOM_SIGNS)
CONSISTENT, COUNTER = "consistent", "counter"
#: Consistent minus counter.
GAP = "gap"

#: The control of VD-EI: perspective entangles no pair of axes that includes a third one.
_CROSSING = Control(_controls_of_axis_pair, "control")

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
AXIS_COHERENCE_BALANCED = Entry(
    name="axis_coherence.balanced",
    title="Axis coherence (balanced)",
    label="squared length of the mean\neffect of the category",
    targets=_each_axis,
    legend="axis",
    curves=Curves(
        "How much of a delta its category decides, from products of different images only: 1 where swapping always "
        "moves the hidden state the same way, against the other category; 0 where the category makes no difference. "
        "What every swap does alike is left out.",
        subsets=tuple(Subset),
    ),
)
ORDER_COHERENCE = Entry(
    name="order_coherence",
    title="Order coherence",
    label="squared length of what\nany swap does alike",
    targets=_each_axis,
    legend="axis",
    # Not in the report: it is near 0 unless a template treats its two places differently.
    curves=Curves(),
)
AXIS_TEST = Entry(
    name="axis_test",
    title="p-value of an axis in some layer",
    targets=_each_axis,
    per_layer=False,
    no_figure="a p-value of a run; correct it with Holm's rule for the axes, scales and subsets that you look at",
)
VD_EI_CORRECTED = Entry(
    name="vd_ei.corrected",
    title="Vertical-distance entanglement (VD-EI, corrected)",
    label="cosine of the axis effects",
    targets=_each_axis_pair,
    legend="pair of axes",
    control=_CROSSING,
    curves=Curves(
        "Cosine of the effects of two axes, without the shortening by noise. There is no value where an axis is not "
        "resolved: without an axis there is no angle. Compare its size with the controls; the sign alone says nothing "
        "about pictures.",
        heading="Vertical-distance entanglement (corrected)",
    ),
)
VD_EI_EXCESS = Entry(
    name="vd_ei.excess",
    title="Size of VD-EI less that of its control",
    targets=_controls_of_axis_pair,
    no_figure="where the interval of this number reaches 0, VD-EI is no larger than the control",
)
VD_EI_CONSISTENT, VD_EI_COUNTER, VD_EI_EQUAL, VD_EI_GAP = (
    Entry(
        name=f"vd_ei.{part}",
        title=f"VD-EI, corrected: {title}",
        targets=_each_pair_with_depth,
        no_figure="read the four side by side, at one layer: VD-EI over all pairs follows the share of consistent ones",
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
    targets=_each_axis_pair,
    no_figure="how far noise shortens the published VD-EI; read it beside vd_ei.eq3 and vd_ei.pooled",
)
AXIS_COHERENCE = Entry(
    name="axis_coherence",
    title="Axis coherence",
    one_vector_an_image=True,
    label="mean pairwise cosine of\nsign-corrected deltas",
    targets=_each_axis,
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
    targets=_each_category,
    legend="category",
    curves=Curves("Mean cosine between the deltas of one category. No sign correction is needed."),
)
DELTA_SIMILARITY = Entry(
    name="delta_similarity",
    title="Similarity of mean deltas",
    interval=Interval.NOT_COVERING,
    label="cosine of mean deltas",
    targets=_each_category_pair,
    legend="pair of categories",
)
VD_EI_EQ3 = Entry(
    name="vd_ei.eq3",
    title="Vertical-distance entanglement (VD-EI, Eq. 3)",
    interval=Interval.NOT_COVERING,
    label="VD-EI",
    targets=_each_axis_pair,
    legend="pair of axes",
    control=_CROSSING,
    curves=Curves(
        "Eq. 3 of the paper: how strongly above goes with far and below with close. Noise brings it nearer to 0. The "
        "controls use the horizontal axis.",
        heading="Vertical-distance entanglement (Eq. 3)",
    ),
)
VD_EI_POOLED = Entry(
    name="vd_ei.pooled",
    title="Vertical-distance entanglement (VD-EI, pooled)",
    interval=Interval.NOT_COVERING,
    label="cosine of the mean deltas",
    targets=_each_axis_pair,
    legend="pair of axes",
    control=_CROSSING,
    curves=Curves(
        "Cosine of the mean sign-corrected deltas of two axes. Compare it with its controls: an effect also seen in "
        "the controls is not evidence of perspective.",
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
        "cosine of its two sign-corrected deltas. Random signs produce values inside the gray band.",
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
        "instead."
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
        "pairs. Near 1, the direction does not depend on height in the image. Below 0, the states follow "
        "that height."
    ),
)
DELTA_RATIO = Entry(
    name="delta_ratio",
    title="Size of the deltas relative to the hidden states",
    label="mean |delta| / |h(orig)|",
    targets=_each_category,
    legend="category",
    curves=Curves(
        "Mean |delta|/|h|. Where it is tiny, bfloat16 rounding dominates; ignore the cosines.",
        heading="Size of the delta, relative to the hidden state",
    ),
)
DELTA_NORM = Entry(
    name="delta_norm",
    title="Size of the deltas",
    label="mean |delta|",
    targets=_each_category,
    legend="category",
    is_logarithmic=True,
    # Not in the report: it is in the unit of the states; delta_ratio has no unit.
    curves=Curves(),
)
ZERO_DELTAS = Entry(
    name="zero_deltas",
    title="Zero deltas",
    targets=_each_axis,
    no_figure="a count of swaps that leave a hidden state unchanged, usually 0; check it if n is lower than expected",
)
ZERO_QUADS = Entry(
    name="zero_quads",
    title="Quads with a zero delta",
    targets=partial(fixed, targets=(f"{HEIGHT}/{DEPTH}",)),
    no_figure="a count, like zero_deltas",
)
AXIS_COHERENCE_PEAK = Entry(
    name=f"{AXIS_COHERENCE.name}.peak",
    title="Peak of axis coherence",
    targets=_each_axis,
    per_layer=False,
    interval=Interval.NOT_COVERING,
)
AXIS_COHERENCE_PEAK_LAYER = Entry(
    name=f"{AXIS_COHERENCE_PEAK.name}_layer",
    title="Layer of the peak of axis coherence",
    targets=_each_axis,
    per_layer=False,
)
_CHOSEN = "a number of a run, shown in the report's table of peaks"
AXIS_COHERENCE_SPLIT = Entry(
    name="axis_coherence.split",
    title="Axis coherence at layers that the other half of the images chose",
    targets=_each_axis,
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
    targets=_each_axis_pair,
    per_layer=False,
    interval=Interval.SPLIT_HALVES,
    no_figure="one number for each pair of axes; read it beside vd_ei.corrected over layers",
)
AXIS_COHERENCE_BALANCED_PEAK = Entry(
    name=f"{AXIS_COHERENCE_BALANCED.name}.peak",
    title="Peak of axis coherence (balanced)",
    targets=_each_axis,
    per_layer=False,
    interval=Interval.SIMULTANEOUS,
    no_figure=_CHOSEN,
)
AXIS_COHERENCE_BALANCED_PEAK_LAYER = Entry(
    name=f"{AXIS_COHERENCE_BALANCED_PEAK.name}_layer",
    title="Layer of the peak of axis coherence (balanced)",
    targets=_each_axis,
    per_layer=False,
    no_figure=_CHOSEN,
)
VD_EI_LOWEST, VD_EI_MEDIAN, VD_EI_HIGHEST = (
    Entry(
        name=f"vd_ei.range_{part}",
        title=f"VD-EI, corrected: {title} over the layers worth reading",
        targets=_each_axis_pair,
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
        targets=_each_axis,
        interval=Interval.JACKKNIFE,
        no_figure=_NO_RUN_HAS_IT,
    )
    for what, title in (("delta", "Difference in coherence"), ("trend", "Slope of coherence"))
)
DELTA_VD_EI, DELTA_VD_EI_SIZE, TREND_VD_EI_SIZE = (
    Entry(
        name=name.format(VD_EI_CORRECTED.name),
        title=title,
        targets=_each_axis_pair,
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
    targets=_each_axis,
    interval=Interval.JACKKNIFE,
    no_figure=_NO_RUN_HAS_IT,
)
#: Name -> entry of what ``compare`` prints, in its order; each has rows in the simulation tables.
COMPARISONS = {
    entry.name: entry
    for entry in (
        DELTA_ACCURACY,
        DELTA_COHERENCE,
        DELTA_VD_EI,
        DELTA_VD_EI_SIZE,
        AXIS_COSINE,
        TREND_ACCURACY,
        TREND_COHERENCE,
        TREND_VD_EI_SIZE,
    )
}
#: What a run's numbers were computed from; no metric, so it is not in the catalog.
INPUTS = Entry(name="inputs", title="What the numbers were computed from", is_number=False)

#: Name -> entry, in the order of the report.
CATALOG = {
    entry.name: entry
    for entry in (
        *ACCURACIES.values(),
        ACCURACY_PERSPECTIVE,
        CONSISTENT_SHARE,
        AXIS_COHERENCE_BALANCED,
        AXIS_TEST,
        VD_EI_CORRECTED,
        VD_EI_EXCESS,
        VD_EI_CEILING,
        VD_EI_CONSISTENT,
        VD_EI_COUNTER,
        VD_EI_EQUAL,
        VD_EI_GAP,
        ORDER_COHERENCE,
        AXIS_COHERENCE,
        WITHIN_CATEGORY_CONSISTENCY,
        DELTA_SIMILARITY,
        VD_EI_EQ3,
        VD_EI_POOLED,
        CROSS_AXIS_ALIGNMENT_CANONICAL,
        CROSS_AXIS_ALIGNMENT_PUBLISHED,
        AXIS_COHERENCE_PERSPECTIVE,
        PERSPECTIVE_COSINE,
        DELTA_RATIO,
        DELTA_NORM,
        ZERO_DELTAS,
        ZERO_QUADS,
        AXIS_COHERENCE_PEAK,
        AXIS_COHERENCE_PEAK_LAYER,
        AXIS_COHERENCE_SPLIT,
        AXIS_COHERENCE_SPLIT_LAYER,
        AXIS_COHERENCE_BALANCED_PEAK,
        AXIS_COHERENCE_BALANCED_PEAK_LAYER,
        VD_EI_SPLIT,
        VD_EI_LOWEST,
        VD_EI_MEDIAN,
        VD_EI_HIGHEST,
        LAYER_CANDIDATES,
        RECOMMENDED_LAYER,
        PCA,
    )
}


def entry_of(name: str) -> Entry:
    """Return a metric's entry; a metric outside the catalog, such as a caller's own, gets a generic one."""
    words = name.replace("_", " ")
    return CATALOG.get(name) or Entry(name=name, title=words, label=words)
