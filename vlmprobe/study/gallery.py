"""Every figure, declared once: which metrics it shows, its data and its function, its file, its words in the report.

A metric of layers whose catalog entry has ``curves`` gets its figures here by itself; others declare theirs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from string import Formatter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vlmprobe.analysis.catalog import (
    ACCURACIES,
    AXIS_COHERENCE,
    AXIS_COHERENCE_BALANCED,
    AXIS_COHERENCE_PEAK,
    AXIS_COHERENCE_PEAK_LAYER,
    CATALOG,
    DELTA_SIMILARITY,
    PCA,
    VD_EI_CORRECTED,
)
from vlmprobe.figures import (
    ablation,
    accuracy_bars,
    accuracy_over_scales,
    accuracy_trajectory,
    alignment_over_layers,
    category_validity_bars,
    layer_curves,
    pca_3d,
    pca_panels,
    peaks_over_scales,
    scale_curves,
    shared_limits,
    similarity_heatmap,
    vd_ei_over_layers,
)
from vlmprobe.pairs import Subset
from vlmprobe.study.captions import LAST_LAYERS, caption_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from matplotlib.figure import Figure

    from vlmprobe.analysis import PeakPoint, PointCloud
    from vlmprobe.analysis.catalog import Curves, Entry
    from vlmprobe.store.runs import Run
    from vlmprobe.study.study import Study

    #: Of a figure function, by name.
    Arguments = dict[str, Any]

__all__ = ["EXHIBITS", "VARIANTS", "Clouds", "Exhibit", "InReport", "View"]

#: Folder of ``plots/`` -> which pairs, and whether unreliable categories are drawn pale.
VARIANTS: dict[str, tuple[Subset, bool]] = {
    "all": (Subset.ALL, False),
    "both_correct": (Subset.BOTH_CORRECT, False),
    "all_with_validity": (Subset.ALL, True),
}


class Clouds(NamedTuple):
    """One layer's projected states and deltas."""

    states: PointCloud
    deltas: PointCloud


@dataclass(frozen=True, slots=True)
class View:
    """What a figure is drawn of: the runs of a study, or one of them, or a layer of that; and which pairs."""

    study: Study
    variant: str = "all"
    run: Run | None = None
    layer: int = -1
    clouds: Mapping[Subset, Clouds] = field(default_factory=dict)
    """Of the layer, per subset."""
    free_y: bool = False
    """Whether a scale has a y range of its own."""

    @property
    def subset(self) -> Subset:
        """The pairs."""
        return VARIANTS[self.variant][0]

    @property
    def unreliable(self) -> dict[tuple[str, str], set[str]] | None:
        """Per scale the categories to draw pale; None = none are to be."""
        return self.study.unreliable if VARIANTS[self.variant][1] else None


class InReport(NamedTuple):
    """How the report presents a figure."""

    name: str
    """Of its file."""
    title: str
    caption: str
    variant: str = "all"


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One figure."""

    file: str
    """Under ``plots/``, without its ending; what stands in braces says of what there is one each."""
    function: Callable[..., Figure]
    data: Callable[[View], Arguments]
    """The function's arguments, but for the axes; empty where there is not one number to show."""
    shows: tuple[Entry, ...]
    report: tuple[InReport, ...] = ()

    def arguments(self, view: View) -> Arguments:
        """Return the function's arguments; empty where there is not one number to show."""
        found = self.data(view)
        return found | {"axes": view.study.axes} if found else {}

    @property
    def name(self) -> str:
        """What it is called in Python: its folder, or the file's stem where a folder holds different figures.

        A figure across scales and that of one scale share a name; ``places`` tells them apart.
        """
        folder, _, stem = self.file.rpartition("/")
        return folder.rpartition("/")[2] if "scale" in self.places else stem

    @property
    def places(self) -> set[str]:
        """What stands in braces: ``variant``, ``scale``, ``layer``."""
        return {name for _, name, _, _ in Formatter().parse(self.file) if name}


def _of_layers(entry: Entry, curves: Curves) -> Iterator[Exhibit]:
    """Declare the figures of a metric of layers: one across scales, and one of each scale."""
    stem = curves.stem or entry.name.replace(".", "_")
    control = entry.control
    functions: tuple[Callable[..., Figure], ...] = (layer_curves, scale_curves)
    if control:
        functions = (layer_curves, alignment_over_layers) if control.is_band else (vd_ei_over_layers,) * 2

    def data(view: View) -> Arguments:
        axes = view.study.axes
        targets = curves.targets or entry.targets(axes)
        # A band belongs to the first target.
        shown = targets[:1] if control and control.is_band and view.run is None else targets
        arguments: Arguments = {
            "curves": view.study.select(entry.name, view.subset, run=view.run, targets=shown)
        }
        if entry is AXIS_COHERENCE:
            arguments["curves"] = [curve for curve in arguments["curves"] if curve.has_images]
        if not arguments["curves"]:
            return {}
        if control is None:
            arguments["unreliable"] = view.unreliable
        if entry in {AXIS_COHERENCE_BALANCED, VD_EI_CORRECTED}:
            if view.run is None and view.subset is Subset.ALL:
                arguments["controls"] = [
                    curve for curve in view.study.control_curves if curve.metric == entry.name
                ]
        elif control and control.is_band:
            arguments["controls"] = view.study.controls(entry, view.subset, run=view.run, panel=targets[0])
        if view.run:
            every = (*targets, *(control.targets(axes) if control else ()))
            curves_of_all = [
                curve
                for curve in view.study.select(entry.name, view.subset, targets=every)
                if curve.has_images or entry is not AXIS_COHERENCE
            ]
            arguments["limits"] = None if view.free_y else shared_limits(curves_of_all)
        return arguments

    report = tuple(_in_report(entry, curves, stem)) if curves.caption else ()
    yield Exhibit(f"{{variant}}/compare/{stem}", functions[0], data, (entry,), report)
    yield Exhibit(f"{{variant}}/{stem}/{stem}_{{scale}}", functions[1], data, (entry,))


def _in_report(entry: Entry, curves: Curves, stem: str) -> Iterator[InReport]:
    title = curves.heading or f"{entry.title} over layers"
    for subset in curves.subsets:
        caption = caption_of(entry, curves, subset)
        if subset is Subset.ALL:
            yield InReport(stem, title, caption)
        else:
            yield InReport(f"{stem}_{subset}", f"{title}, both answers right", caption, subset)


def _points(view: View) -> Arguments:
    return {"points": view.study.accuracy} if view.study.accuracy else {}


def _categories(view: View) -> Arguments:
    return {"points": view.study.categories} if view.study.categories else {}


def _peaks(view: View) -> list[PeakPoint]:
    return [peak for peak in view.study.peaks if peak.subset == view.subset and peak.has_images]


def _ablation(view: View) -> Arguments:
    return {"points": view.study.accuracy, "peaks": peaks} if (peaks := _peaks(view)) else {}


def _peaks_over_scales(view: View) -> Arguments:
    return {"peaks": peaks, "unreliable": view.unreliable} if (peaks := _peaks(view)) else {}


def _similarity(view: View) -> Arguments:
    study = view.study
    if view.run is None:
        matrices = study.similarity(view.subset)
    else:
        matrices = [study.similarity_at(view.run, view.layer, view.subset)]
    cosines = (value for matrix in matrices for row in matrix.values for value in row if value != 1.0)
    return {"matrix": matrices, "unreliable": view.unreliable} if any(map(math.isfinite, cosines)) else {}


def _pca_panels(view: View) -> Arguments:
    clouds, pale = view.clouds[view.subset], {"unreliable": view.unreliable}
    return clouds._asdict() | pale if np.isfinite(clouds.states.points).any() else {}


def _pca_3d(view: View) -> Arguments:
    deltas = view.clouds[view.subset].deltas
    return {"clouds": deltas, "unreliable": view.unreliable} if np.isfinite(deltas.points).any() else {}


_ANSWERS = tuple(ACCURACIES.values())
#: Entry's name -> its figures, where they are not curves of its targets.
_OWN = {
    ACCURACIES["both"].name: (
        Exhibit("accuracy/accuracy_bars", accuracy_bars, _points, _ANSWERS),
        Exhibit(
            "accuracy/accuracy_over_scales",
            accuracy_over_scales,
            _points,
            _ANSWERS[-1:],
            (
                InReport(
                    "accuracy",
                    "Both questions right, by scale",
                    "A pair counts if both the original and the swapped question are answered correctly. "
                    "Bars are 95 % bounds by Wilson's formula with Student's t, each for its own scale (pointwise).",
                ),
            ),
        ),
        Exhibit("accuracy/accuracy_trajectory", accuracy_trajectory, _points, _ANSWERS),
        Exhibit("accuracy/accuracy_trajectory_by_category", accuracy_trajectory, _categories, _ANSWERS),
        Exhibit("accuracy/category_validity", category_validity_bars, _categories, _ANSWERS[:2]),
        Exhibit("accuracy/ablation", ablation, _ablation, (_ANSWERS[-1], AXIS_COHERENCE_PEAK)),
    ),
    DELTA_SIMILARITY.name: (
        Exhibit(
            f"{{variant}}/compare/{DELTA_SIMILARITY.name}",
            similarity_heatmap,
            _similarity,
            (DELTA_SIMILARITY,),
            (
                InReport(
                    DELTA_SIMILARITY.name,
                    "Cosines between the categories' mean deltas",
                    "At the layer where the axes are most coherent on average. Opposites are near -1 where the "
                    "model has the axis, categories of different axes near 0 where it keeps the axes apart; neither "
                    f"is a norm. Noise pulls every value to 0, and there is no interval. {LAST_LAYERS}",
                ),
            ),
        ),
        Exhibit(
            "{variant}/heatmap/heatmap_{scale}_L{layer}", similarity_heatmap, _similarity, (DELTA_SIMILARITY,)
        ),
    ),
    AXIS_COHERENCE_PEAK.name: (
        Exhibit(
            "{variant}/compare/peak_coherence",
            peaks_over_scales,
            _peaks_over_scales,
            (AXIS_COHERENCE_PEAK, AXIS_COHERENCE_PEAK_LAYER),
        ),
    ),
    PCA.name: (
        Exhibit("{variant}/pca/pca_{scale}_L{layer}", pca_panels, _pca_panels, (PCA,)),
        Exhibit("{variant}/pca_3d/pca_{scale}_L{layer}", pca_3d, _pca_3d, (PCA,)),
    ),
}

EXHIBITS: tuple[Exhibit, ...] = tuple(
    exhibit
    for entry in CATALOG.values()
    for exhibit in (*(_of_layers(entry, entry.curves) if entry.curves else ()), *_OWN.get(entry.name, ()))
)
