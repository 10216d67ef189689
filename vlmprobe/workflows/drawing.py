"""Which figures a comparison shows, and the words that say how to read each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.figures import accuracy_over_scales, layer_curves, similarity_heatmap, to_png, vd_ei_over_layers
from vlmprobe.pairs import Subset
from vlmprobe.reports import ReportFigure

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from vlmprobe.workflows.console import Console
    from vlmprobe.workflows.study import Study

__all__ = ["draw_study"]

_BAND = "The band is the 95 % bootstrap interval over images."


def draw_study(study: Study, console: Console) -> list[ReportFigure]:
    """Draw every figure of the report."""
    plan = _plan(study)
    figures = []
    with console.track("figures", len(plan)) as advance:
        for name, title, caption, draw in plan:
            figures.append(ReportFigure(name, title, caption, to_png(draw())))
            advance(1)
    return figures


def _plan(study: Study) -> list[tuple[str, str, str, Callable[[], Figure]]]:
    coherence = (
        "Mean cosine between the sign-corrected deltas of an axis: 1 when swapping the two objects always moves the "
        f"hidden state the same way, 0 when it moves it anywhere. {_BAND}"
    )
    both = " Only pairs with both answers right; a missing line has fewer than two such pairs."
    eq3 = (
        "Eq. 3 of the paper: how far above goes with far and below with close. Above 0 the model treats higher as "
        f"farther; the controls cross the horizontal axis, where 0 is expected. {_BAND}"
    )
    pooled = (
        "Cosine of the mean sign-corrected deltas of two axes. Read it beside its controls: what they show too is no "
        f"sign of perspective. {_BAND}"
    )
    return [
        (
            "accuracy",
            "Both questions right, by scale",
            "A pair counts when the original and the swapped question are both answered right. Bars are 95 % Wilson "
            "bounds.",
            lambda: accuracy_over_scales(study.accuracy),
        ),
        (
            "axis_coherence",
            "Axis coherence over layers",
            coherence,
            lambda: layer_curves(study.select("axis_coherence")),
        ),
        (
            "axis_coherence_both_correct",
            "Axis coherence over layers, both answers right",
            coherence + both,
            lambda: layer_curves(study.select("axis_coherence", Subset.BOTH_CORRECT)),
        ),
        (
            "within_category_consistency",
            "Within-category consistency over layers",
            f"The same within one category, so without a sign to correct. {_BAND}",
            lambda: layer_curves(study.select("within_category_consistency")),
        ),
        (
            "delta_similarity",
            "Cosines between the categories' mean deltas",
            "At the layer where the axes are most coherent on average. Opposites should be near -1, different axes "
            "near 0; above/far and below/close near 1 is entanglement.",
            lambda: similarity_heatmap(study.similarity()),
        ),
        (
            "vd_ei_eq3",
            "Vertical-distance entanglement (Eq. 3)",
            eq3,
            lambda: vd_ei_over_layers(study.select("vd_ei.eq3")),
        ),
        (
            "vd_ei_pooled",
            "Vertical-distance entanglement (pooled)",
            pooled,
            lambda: vd_ei_over_layers(study.select("vd_ei.pooled")),
        ),
        (
            "delta_ratio",
            "Size of the delta, relative to the hidden state",
            "Mean |delta|/|h|. Where it is tiny, in bfloat16 rounding speaks: read no cosine there.",
            lambda: layer_curves(study.select("delta_ratio")),
        ),
    ]
