"""Which figures a comparison shows, and the words that say how to read each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmprobe.figures import (
    accuracy_over_scales,
    layer_curves,
    similarity_heatmap,
    to_png,
    vd_ei_over_layers,
)
from vlmprobe.pairs import Subset
from vlmprobe.reports import ReportFigure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.figure import Figure

    from vlmprobe.workflows.console import Console
    from vlmprobe.workflows.study import Study

__all__ = ["draw_studies"]

_BAND = "The band is the 95 % bootstrap interval over images."
_COHERENCE = (
    "Mean cosine between the sign-corrected deltas of an axis: 1 when swapping the two objects always moves the "
    f"hidden state the same way, 0 when it moves it anywhere. {_BAND}"
)
_EQ3 = (
    "Eq. 3 of the paper: how far above goes with far and below with close. Above 0 the model treats higher as "
    f"farther; the controls cross the horizontal axis, where 0 is expected. {_BAND}"
)
_POOLED = (
    "Cosine of the mean sign-corrected deltas of two axes. Read it beside its controls: what they show too is no "
    f"sign of perspective. {_BAND}"
)
_ALIGNMENT = (
    "Over quads, which ask about height and about distance of the same two objects: the cosine of the two "
    "sign-corrected deltas. Inside the grey band it is what random signs give. "
)


@dataclass(frozen=True, slots=True)
class _Plan:
    """One figure to draw, unless there is nothing to show."""

    name: str
    title: str
    caption: str
    draw: Callable[..., Figure]
    data: Sequence[Any]
    controls: Sequence[Any] = ()

    def figure(self) -> Figure:
        """Draw it."""
        return self.draw(self.data, controls=self.controls) if self.controls else self.draw(self.data)


def draw_studies(whole: Study, families: Sequence[Study], console: Console) -> list[ReportFigure]:
    """Draw every figure of the report: accuracy over all runs, then the rest, a section a family.

    Args:
        whole: all runs.
        families: the same runs, a study a family.
        console: told how far it is.
    """
    sections = [("", "", _accuracy(whole))]
    for study in families:
        family = study.runs[0].family
        # One family needs no heading, and its files no prefix.
        heading, prefix = (family, f"{family}_") if len(families) > 1 else ("", "")
        sections.append((heading, prefix, _of_family(study)))
    total = sum(bool(plan.data) for *_, plans in sections for plan in plans)
    figures = []
    with console.track("figures", total) as advance:
        for section, prefix, plans in sections:
            for plan in plans:
                if not plan.data:
                    continue
                png = to_png(plan.figure())
                figures.append(ReportFigure(prefix + plan.name, plan.title, plan.caption, png, section))
                advance(1)
    return figures


def _accuracy(study: Study) -> list[_Plan]:
    caption = (
        "A pair counts when the original and the swapped question are both answered right. Bars are 95 % Wilson "
        "bounds."
    )
    return [
        _Plan("accuracy", "Both questions right, by scale", caption, accuracy_over_scales, study.accuracy)
    ]


def _of_family(study: Study) -> list[_Plan]:
    both = " Only pairs with both answers right; a missing line has fewer than two such pairs."
    alignment = "cross_axis_alignment.canonical"
    controls = study.controls(alignment, "random_signs", panel="per_sample")
    return [
        _Plan(
            "axis_coherence",
            "Axis coherence over layers",
            _COHERENCE,
            layer_curves,
            study.select("axis_coherence"),
        ),
        _Plan(
            "axis_coherence_both_correct",
            "Axis coherence over layers, both answers right",
            _COHERENCE + both,
            layer_curves,
            study.select("axis_coherence", Subset.BOTH_CORRECT),
        ),
        _Plan(
            "within_category_consistency",
            "Within-category consistency over layers",
            f"The same within one category, so without a sign to correct. {_BAND}",
            layer_curves,
            study.select("within_category_consistency"),
        ),
        _Plan(
            "delta_similarity",
            "Cosines between the categories' mean deltas",
            "At the layer where the axes are most coherent on average. Opposites should be near -1, different axes "
            "near 0; above/far and below/close near 1 is entanglement.",
            similarity_heatmap,
            study.similarity(),
        ),
        _Plan(
            "vd_ei_eq3",
            "Vertical-distance entanglement (Eq. 3)",
            _EQ3,
            vd_ei_over_layers,
            study.select("vd_ei.eq3"),
        ),
        _Plan(
            "vd_ei_pooled",
            "Vertical-distance entanglement (pooled)",
            _POOLED,
            vd_ei_over_layers,
            study.select("vd_ei.pooled"),
        ),
        _Plan(
            "alignment",
            "Alignment of height and distance over quads",
            _ALIGNMENT + _BAND,
            layer_curves,
            study.select(alignment, targets=("per_sample",)),
            controls,
        ),
        _Plan(
            "delta_ratio",
            "Size of the delta, relative to the hidden state",
            "Mean |delta|/|h|. Where it is tiny, in bfloat16 rounding speaks: read no cosine there.",
            layer_curves,
            study.select("delta_ratio"),
        ),
    ]
