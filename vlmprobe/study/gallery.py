"""Which figure goes into which file: the old layout's ``plots/`` folder, from stored results."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis import PointCloud, Projection, project_deltas, project_states
from vlmprobe.analysis.side_by_side import side_by_side
from vlmprobe.figures import (
    Job,
    accuracy_over_scales,
    layer_curves,
    shared_limits,
    similarity_heatmap,
    to_png,
    vd_ei_over_layers,
)
from vlmprobe.pairs import Subset
from vlmprobe.reports import ReportFigure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from vlmprobe.analysis import LayerCurve
    from vlmprobe.store.arrays import RunArrays
    from vlmprobe.store.runs import Run
    from vlmprobe.study.study import Study
    from vlmprobe.workspace import Console

__all__ = ["VARIANTS", "PlotOptions", "draw_studies", "plan_plots"]

#: Folder of ``plots/`` -> which pairs, and whether unreliable categories are drawn pale.
VARIANTS: dict[str, tuple[Subset, bool]] = {
    "all": (Subset.ALL, False),
    "both_correct": (Subset.BOTH_CORRECT, False),
    "all_with_validity": (Subset.ALL, True),
}
_ALIGNMENT = {
    "alignment": ("cross_axis_alignment.canonical", "random_signs"),
    "alignment_published": ("cross_axis_alignment.published", "shuffled"),
}
_STATISTICS = ("per_sample", "of_means")
_COMPONENTS = 3
#: Of a layer's states, while they are projected.
_COPIES = 5
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
_ALIGNMENT_CAPTION = (
    "Over quads, which ask about height and about distance of the same two objects: the cosine of the two "
    "sign-corrected deltas. Inside the grey band it is what random signs give. "
)


@dataclass(frozen=True, slots=True)
class PlotOptions:
    """How figures are drawn."""

    file_format: str = "png"
    dpi: float = 110
    variants: tuple[str, ...] = tuple(VARIANTS)
    free_y: bool = False


def plan_plots(
    study: Study,
    arrays: Mapping[str, RunArrays],
    layers: Mapping[str, Sequence[int]],
    folder: Path,
    options: PlotOptions,
) -> list[Job]:
    """List every figure of the runs of one family, under ``folder``.

    Args:
        study: the runs and their results.
        arrays: per run id its hidden states, for the projections.
        layers: per run id the layers that get a heatmap and projections.
        folder: the ``plots`` folder.
        options: format, resolution, variants, and whether each scale has a y range of its own.
    """
    planner = _Planner(study, folder, options)
    planner.accuracy()
    for name in options.variants:
        subset, marks_validity = VARIANTS[name]
        variant = _Variant(name, subset, study.unreliable if marks_validity else None)
        planner.across_scales(variant)
        for run in study.runs:
            planner.of_scale(variant, run)
            for layer in layers[run.run_id]:
                planner.of_layer(variant, run, layer)
    for run in study.runs:
        planner.projections(run, layers[run.run_id], arrays[run.run_id])
    return planner.jobs


@dataclass(frozen=True, slots=True)
class _Variant:
    name: str
    subset: Subset
    unreliable: dict[tuple[str, str], set[str]] | None


class _Planner:
    """Collects jobs; a figure without one number to show is left out."""

    def __init__(self, study: Study, folder: Path, options: PlotOptions) -> None:
        self._study, self._folder, self._options = study, folder, options
        self.jobs: list[Job] = []

    def _add(self, function: str, name: str, **arguments: Any) -> None:
        path = self._folder / f"{name}.{self._options.file_format}"
        self.jobs.append(Job(function, arguments, path, self._options.file_format, self._options.dpi))

    def _limits(self, curves: Sequence[LayerCurve]) -> tuple[float, float] | None:
        return None if self._options.free_y else shared_limits(curves)

    def accuracy(self) -> None:
        """Plan the figures about answers alone."""
        study = self._study
        self._add("accuracy_bars", "accuracy/accuracy_bars", points=study.accuracy)
        self._add("accuracy_over_scales", "accuracy/accuracy_over_scales", points=study.accuracy)
        self._add("accuracy_trajectory", "accuracy/accuracy_trajectory", points=study.accuracy)
        self._add("accuracy_trajectory", "accuracy/accuracy_trajectory_by_category", points=study.categories)
        self._add("category_validity_bars", "accuracy/category_validity", points=study.categories)
        if peaks := study.peak_points():
            self._add("ablation", "accuracy/ablation", points=study.accuracy, peaks=peaks)

    def across_scales(self, variant: _Variant) -> None:
        """Plan the figures that compare scales."""
        study, subset = self._study, variant.subset
        for metric in ("axis_coherence", "within_category_consistency"):
            if curves := study.select(metric, subset):
                self._add(
                    "layer_curves",
                    f"{variant.name}/compare/{metric}",
                    curves=curves,
                    unreliable=variant.unreliable,
                )
        for metric in ("vd_ei.eq3", "vd_ei.pooled"):
            if curves := study.select(metric, subset):
                name = metric.replace(".", "_")
                self._add("vd_ei_over_layers", f"{variant.name}/compare/{name}", curves=curves)
        for name, (metric, control) in _ALIGNMENT.items():
            if curves := study.select(metric, subset, targets=("per_sample",)):
                controls = study.controls(metric, control, subset, panel="per_sample")
                self._add("layer_curves", f"{variant.name}/compare/{name}", curves=curves, controls=controls)
        if peaks := study.peak_points(subset):
            self._add(
                "peaks_over_scales",
                f"{variant.name}/compare/peak_coherence",
                peaks=peaks,
                unreliable=variant.unreliable,
            )

    def of_scale(self, variant: _Variant, run: Run) -> None:
        """Plan the layer curves of one scale, with the y range of all scales."""
        study, subset = self._study, variant.subset
        for metric, folder in (
            ("axis_coherence", "axis_coherence"),
            ("within_category_consistency", "within_category_consistency"),
            ("vd_ei.eq3", "vd_ei_eq3"),
            ("vd_ei.pooled", "vd_ei_pooled"),
        ):
            curves = study.select(metric, subset, run=run)
            if not curves:
                continue
            name = f"{variant.name}/{folder}/{folder}_{run.scale}"
            limits = self._limits(study.select(metric, subset))
            if metric.startswith("vd_ei"):
                self._add("vd_ei_over_layers", name, curves=curves, limits=limits)
            else:
                self._add("scale_curves", name, curves=curves, limits=limits, unreliable=variant.unreliable)
        for name, (metric, control) in _ALIGNMENT.items():
            if curves := study.select(metric, subset, run=run, targets=_STATISTICS):
                every = study.select(metric, subset, targets=(*_STATISTICS, control))
                self._add(
                    "alignment_over_layers",
                    f"{variant.name}/{name}/{name}_{run.scale}",
                    curves=curves,
                    controls=study.select(metric, subset, run=run, targets=(control,)),
                    limits=self._limits(every),
                )

    def of_layer(self, variant: _Variant, run: Run, layer: int) -> None:
        """Plan the heatmap of one layer."""
        matrix = self._study.similarity_at(run, layer, variant.subset)
        if any(math.isfinite(value) for row in matrix.values for value in row if value != 1.0):
            self._add(
                "similarity_heatmap",
                f"{variant.name}/heatmap/heatmap_{run.scale}_L{layer}",
                matrix=matrix,
                unreliable=variant.unreliable,
            )

    def projections(self, run: Run, layers: Sequence[int], arrays: RunArrays) -> None:
        """Plan the projections of some layers."""
        subsets = list(dict.fromkeys(VARIANTS[name][0] for name in self._options.variants))

        def clouds_of(layer: int) -> dict[Subset, tuple[PointCloud, PointCloud]]:
            return _clouds(run, layer, subsets, arrays)

        found = side_by_side(clouds_of, layers, bytes_each=arrays.layer_bytes * _COPIES)
        for layer, clouds in zip(layers, found, strict=True):
            self._projections_of(run, layer, clouds)

    def _projections_of(
        self, run: Run, layer: int, clouds: Mapping[Subset, tuple[PointCloud, PointCloud]]
    ) -> None:
        for name in self._options.variants:
            subset, marks_validity = VARIANTS[name]
            unreliable = self._study.unreliable if marks_validity else None
            of_states, of_deltas = clouds[subset]
            if np.isfinite(of_states.points).any():
                self._add(
                    "pca_panels",
                    f"{name}/pca/pca_{run.scale}_L{layer}",
                    states=of_states,
                    deltas=of_deltas,
                    unreliable=unreliable,
                )
            if np.isfinite(of_deltas.points).any():
                self._add(
                    "pca_3d",
                    f"{name}/pca_3d/pca_{run.scale}_L{layer}",
                    clouds=of_deltas,
                    unreliable=unreliable,
                )


def _clouds(
    run: Run, layer: int, subsets: Sequence[Subset], arrays: RunArrays
) -> dict[Subset, tuple[PointCloud, PointCloud]]:
    """Project one layer's states and deltas, which are read once for all subsets."""
    states = arrays.layer(layer)
    found = {}
    for subset in subsets:
        inside = np.ones_like(arrays.both_correct) if subset is Subset.ALL else arrays.both_correct
        categories = [name for name, keep in zip(arrays.categories, inside, strict=True) if keep]
        mine = states if subset is Subset.ALL else states[inside]
        of_states, of_deltas = (
            project(mine[:, 0], mine[:, 1], categories, _COMPONENTS)
            for project in (project_states, project_deltas)
        )
        found[subset] = _cloud(run, layer, subset, of_states), _cloud(run, layer, subset, of_deltas)
    return found


def _cloud(run: Run, layer: int, subset: Subset, projection: Projection) -> PointCloud:
    return PointCloud(
        family=run.family,
        scale=run.scale,
        layer=layer,
        subset=str(subset),
        points=projection.points,
        labels=projection.categories,
        explained=projection.explained,
        sides=projection.sides,
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
            _ALIGNMENT_CAPTION + _BAND,
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
