"""The content of a report: every number, figure and fact. Rendering only formats it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmprobe.analysis.leaks import Leak
    from vlmprobe.analysis.results import AccuracyPoint, PeakPoint
    from vlmprobe.pairs.axes import AxisSet
    from vlmprobe.reports.controls import ControlRow
    from vlmprobe.reports.findings import Findings
    from vlmprobe.reports.matrix import ScaleMatrix
    from vlmprobe.reports.robustness import RobustnessRow
    from vlmprobe.reports.verdicts import AxisVerdict

__all__ = [
    "ChangeRow",
    "DatasetFacts",
    "LayerRange",
    "Report",
    "ReportFigure",
    "RunFacts",
    "TemplatePoint",
]


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """The dataset that all runs of a report answered."""

    name: str
    path: str
    dataset_id: str
    n_pairs: int
    n_problems: int
    """Rows of the file that gave no pair."""
    template: str
    n_of_quads: int = 0
    """Pairs that are asked for quads alone: the height question about the two objects of a distance question."""
    n_images: int = 0
    """Images of the pairs; 0 = unknown."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """One run: its checkpoint, its settings and its outcome."""

    run_id: str
    family: str
    scale: str
    samples_seen: int | None
    global_steps: int | None
    checkpoint: str
    fingerprint: str
    n_pairs: int
    n_failed: int
    status: str
    dtype: str
    device: str
    peak_layers: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    """Per axis the layer with the highest coherence, and that coherence."""


@dataclass(frozen=True, slots=True)
class ReportFigure:
    """A figure with a caption that explains how to read it."""

    name: str
    """Short, for file names and anchors."""
    title: str
    caption: str
    png: bytes
    section: str = ""
    """Figures of one section appear together under its name: the family, if there are several."""


@dataclass(frozen=True, slots=True)
class LayerRange:
    """The layers of one run that are worth analyzing: near the peak of a resolved axis, and not too late."""

    family: str
    scale: str
    candidates: tuple[int, ...]
    recommended: int | None
    """The best of them; None without any."""
    axes: tuple[str, ...]
    """The axes that are resolved; the others count for nothing."""
    reason: str
    """Why no layer is recommended; empty where one is."""
    n_layers: int | None = None
    """Of the model; None = unknown."""
    cutoff: int | None = None
    """The last layer that may be recommended; None = any."""

    @property
    def is_last(self) -> bool:
        """Whether the recommended layer is the model's last one."""
        return self.n_layers is not None and self.recommended == self.n_layers - 1

    @property
    def excluded(self) -> str:
        """Say how many layers the model has, and which of them are too late to be recommended."""
        if self.n_layers is None or self.cutoff is None:
            return "unknown, none excluded"
        late = ", ".join(str(layer) for layer in range(self.cutoff + 1, self.n_layers))
        return f"{self.n_layers}, {late or 'none'} excluded"


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """What changed between two neighboring scales on the same pairs of one axis."""

    family: str
    from_scale: str
    to_scale: str
    axis: str
    n: int
    gained: int
    """Pairs with both answers right only at the later scale."""
    lost: int
    """Pairs with both answers right only at the earlier scale."""


@dataclass(frozen=True, slots=True)
class TemplatePoint:
    """One metric and target of one scale under one question template; NaN where there is no data."""

    family: str
    scale: str
    dataset: str
    dataset_id: str
    metric: str
    target: str
    template: str
    layer: int
    """Where the value was read; -1 where the metric is not per layer."""
    value: float
    ci_low: float | None
    ci_high: float | None
    n: int
    run_id: str


@dataclass(frozen=True, slots=True)
class Report:
    """A comparison of scales on one dataset, ready to be rendered."""

    title: str
    created: str
    """UTC, as it should be printed."""
    dataset: DatasetFacts
    runs: Sequence[RunFacts]
    axes: AxisSet
    accuracy: Sequence[AccuracyPoint]
    """In display order; one per (family, scale, axis), for the axes and ``overall``."""
    findings: Findings | None = None
    """Perspective, axes and angles; None = not computed."""
    verdicts: Sequence[AxisVerdict] = ()
    """What each axis has been shown to be of; empty = not asked."""
    leaks: Sequence[Leak] = ()
    """What the dataset gives away before any model is asked; empty = never checked."""
    peaks: Sequence[PeakPoint] = ()
    layer_ranges: Sequence[LayerRange] = ()
    changes: Sequence[ChangeRow] = ()
    matrices: Sequence[ScaleMatrix] = ()
    """Which scales differ; one for each family with several."""
    controls: Sequence[ControlRow] = ()
    """Each scale beside the controls that it has; empty where none has any."""
    robustness: Sequence[RobustnessRow] = ()
    """What the axes of each scale hang on; empty where no states are stored."""
    over_templates: Sequence[TemplatePoint] = ()
    """Of the scales that have runs under several templates; in display order."""
    figures: Sequence[ReportFigure] = ()
    """Those of one section follow each other."""
    disagreements: int | None = None
    """Answers on which the two checkers differ; None = not counted."""
    notes: Sequence[str] = ()
    """What a reader must know before trusting a number."""
    queries: Mapping[str, str] = field(default_factory=dict)
    """A question to the SQL text that answers it with the numbers of this report."""
    provenance: Mapping[str, str] = field(default_factory=dict)
    """Where it all comes from: database, MLflow experiment, versions, command."""
