"""Reproduce: the paper's published values beside those of the runs here, and whether they are equivalent."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from math import expm1, isfinite, log1p, sqrt
from typing import TYPE_CHECKING

from vlmprobe.analysis.catalog import (
    ACCURACIES,
    AXIS_COHERENCE,
    AXIS_COHERENCE_BALANCED,
    RECOMMENDED_LAYER,
    VD_EI_CORRECTED,
    VD_EI_EQ3,
)
from vlmprobe.analysis.geometry import attenuation
from vlmprobe.analysis.inference import binomial_se, effective_wilson, equivalence, share_se
from vlmprobe.analysis.inference.estimate import upper_quantile
from vlmprobe.errors import UsageError, unknown_name
from vlmprobe.interop.published import PUBLISHED_LAYERS, PublishedValue, read_published
from vlmprobe.pairs import PUBLISHED, Subset, is_under
from vlmprobe.store.metrics import analyzed_runs, read_metrics, read_results_json
from vlmprobe.store.perspective import perspective_answers
from vlmprobe.study.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from vlmprobe.store.metrics import StoredMetric
    from vlmprobe.store.runs import Run
    from vlmprobe.workspace import Workspace

__all__ = ["MARGINS", "Cell", "Reproduction", "reproduce"]

#: Metric -> the largest difference that counts as the same: 3 points, .03 and .05.
MARGINS = {ACCURACIES["orig"].name: 0.03, AXIS_COHERENCE.name: 0.03, VD_EI_EQ3.name: 0.05}
_N_UNKNOWN = "the paper does not say n"


@dataclass(frozen=True, slots=True)
class Cell:
    """One published value beside ours; None where there is none, and ``reason`` says why."""

    family: str
    scale: str
    benchmark: str
    metric: str
    target: str
    split: str
    theirs: float
    n_theirs: int | None
    """Questions; of coherence and VD-EI pairs of a category, here and below."""
    ours: float | None = None
    n_ours: int | None = None
    se_ours: float | None = None
    """Standard error of ours alone, also where theirs has none."""
    difference: float | None = None
    se: float | None = None
    """sqrt(se_ours^2 + se_theirs^2); None without their n."""
    ci_low: float | None = None
    ci_high: float | None = None
    margin: float | None = None
    p_equivalent: float | None = None
    verdict: str | None = None
    layer: int | None = None
    layer_is: str | None = None
    """Whose choice the layer is: ``published`` or ``recommended`` here."""
    kept_ours: float | None = None
    """Of a cosine of means: the share of the true one that our number of pairs leaves."""
    kept_theirs: float | None = None
    """The same at their number of pairs."""
    reason: str = ""
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Reproduction:
    """Every published value of the chosen families."""

    cells: tuple[Cell, ...]

    @property
    def served(self) -> tuple[Cell, ...]:
        """Those that we have a value for."""
        return tuple(cell for cell in self.cells if cell.ours is not None)

    @property
    def missing(self) -> dict[str, list[Cell]]:
        """Reason -> the published values that have none of ours for it."""
        found: dict[str, list[Cell]] = {}
        for cell in self.cells:
            if cell.ours is None:
                found.setdefault(cell.reason, []).append(cell)
        return found


def reproduce(
    workspace: Workspace,
    selection: Selection | None = None,
    *,
    benchmark: str | None = None,
    margins: Mapping[str, float] | None = None,
    template: str = PUBLISHED.name,
    published: Sequence[PublishedValue] | None = None,
) -> Reproduction:
    """Compare the newest analyzed run of each scale with the published value of that family, scale and benchmark.

    Args:
        workspace: the home; it is only read.
        selection: which runs.
        benchmark: the published benchmark that the runs' dataset is; None = by the dataset's name.
        margins: metric or its first word -> margin, instead of ``MARGINS``.
        template: only runs under this question template.
        published: other values than the bundled ones.

    Raises:
        UsageError: no run matches or belongs to a published benchmark, or a benchmark, metric or margin is none.
    """
    values = list(published if published is not None else read_published())
    allowed = _margins(margins or {})
    known = list(dict.fromkeys(value.benchmark for value in values))
    if benchmark is not None and benchmark not in known:
        raise unknown_name("published benchmark", benchmark, known)
    found = (selection or Selection()).complete_runs(workspace)
    with workspace.database.transaction(write=False) as connection:
        analyzed = analyzed_runs(connection)
        # Oldest first, so that of several runs of a scale the newest stays.
        runs = {
            (run.family, run.scale, which): run
            for run in found
            if run.run_id in analyzed and is_under(run.template, template)
            if (which := benchmark or _benchmark_of(run.dataset, known)) is not None
        }
        if not runs:
            names = ", ".join(sorted({run.dataset for run in found}))
            raise UsageError(
                f"no analyzed run under template {template} is on a published benchmark ({', '.join(known)}); "
                f"the runs are on {names}; run 'vlmprobe analyze', or name the benchmark with --benchmark NAME"
            )
        families = {family for family, _, _ in runs}
        wanted = [value for value in values if value.family in families]
        if not wanted:
            raise UsageError(
                f"nothing is published of {', '.join(sorted(families))}; families with published values: "
                f"{', '.join(dict.fromkeys(value.family for value in values))}"
            )
        ours = {place: _Ours(connection, run) for place, run in runs.items()}
    return Reproduction(
        tuple(
            _cell(value, ours.get((value.family, value.scale, value.benchmark)), allowed) for value in wanted
        )
    )


class _Ours:
    """What one run has to compare, read once."""

    def __init__(self, connection: Connection, run: Run) -> None:
        self.run = run
        self.answers = perspective_answers(connection, run.run_id)
        newest: dict[tuple[str, str, int], StoredMetric] = {}
        for metric in read_metrics(connection, run.run_id):
            if metric.subset == Subset.ALL:
                newest[metric.name, metric.target, metric.layer] = metric
        self._metrics = newest
        self.layer, self.layer_is = self._layer(connection)

    def _layer(self, connection: Connection) -> tuple[int | None, str | None]:
        layer, n_layers = PUBLISHED_LAYERS.get(self.run.family, (None, None))
        if layer is not None and n_layers == self.run.n_layers:
            return layer, "published"
        stored = read_results_json(connection, self.run.run_id, RECOMMENDED_LAYER.name, str(Subset.ALL))
        recommended = None if stored is None else stored["layer"]
        return recommended, None if recommended is None else "recommended"

    def at_layer(self, name: str, target: str) -> StoredMetric | None:
        """Return a metric at the run's layer, if it has a value there."""
        found = self._metrics.get((name, target, -1 if self.layer is None else self.layer))
        return found if found is not None and isfinite(found.value) else None


def _cell(value: PublishedValue, ours: _Ours | None, margins: Mapping[str, float]) -> Cell:
    cell = Cell(
        family=value.family,
        scale=value.scale,
        benchmark=value.benchmark,
        metric=value.metric,
        target=value.target,
        split=value.split,
        theirs=value.value,
        n_theirs=value.n,
        margin=margins.get(value.metric),
    )
    if value.metric not in margins:
        return replace(cell, reason=f"vlmprobe does not compute {value.metric}")
    if ours is None:
        return replace(cell, reason="no analyzed run of this scale on this benchmark")
    cell = replace(cell, run_id=ours.run.run_id)
    return _accuracy(cell, ours) if value.metric == ACCURACIES["orig"].name else _geometry(cell, ours)


def _accuracy(cell: Cell, ours: _Ours) -> Cell:
    chosen = [each for each in ours.answers if each.perspective == cell.split]
    found = effective_wilson([each.orig_correct for each in chosen], [each.image for each in chosen])
    if found.value is None:
        return replace(cell, reason=f"the run has no {cell.split} pairs")
    cell = replace(cell, ours=found.value, n_ours=len(chosen))
    se_theirs = None if cell.n_theirs is None else binomial_se(cell.theirs, cell.n_theirs)
    return _tested(cell, found.value, share_se(found), se_theirs, found.n_images, found.reason)


def _geometry(cell: Cell, ours: _Ours) -> Cell:
    found = ours.at_layer(cell.metric, cell.target)
    if found is None:
        why = "no layer is recommended" if ours.layer is None else f"no value at layer {ours.layer}"
        return replace(cell, reason=f"{cell.metric}: {why}")
    is_angle = cell.metric == VD_EI_EQ3.name
    n = found.n / (4 if is_angle else 2)
    cell = replace(cell, ours=found.value, n_ours=round(n), layer=ours.layer, layer_is=ours.layer_is)
    # The published definitions have no interval where one need not cover: that of the same thing without bias serves.
    unbiased = ours.at_layer((VD_EI_CORRECTED if is_angle else AXIS_COHERENCE_BALANCED).name, cell.target)
    source = unbiased if is_angle or found.ci_low is None else found
    se_ours = None if source is None else _se_of(source, is_mean_cosine=not is_angle)
    value = found.value
    if is_angle:
        axes = [ours.at_layer(AXIS_COHERENCE_BALANCED.name, axis) for axis in cell.target.split("/")]
        thetas = [axis.value for axis in axes if axis is not None]
        kept = [
            attenuation(thetas[0], thetas[1], pairs) if pairs is not None and len(thetas) == 2 else None
            for pairs in (n, cell.n_theirs)
        ]
        cell = replace(cell, kept_ours=kept[0], kept_theirs=kept[1])
        if unbiased is not None and kept[1] is not None and se_ours is not None:
            # Shortened by the noise of as many pairs as theirs is of: like is compared with like.
            value, se_ours = unbiased.value * kept[1], se_ours * kept[1]
    se_theirs = None
    if se_ours is not None and cell.n_theirs is not None:
        se_theirs = se_ours * sqrt(n / cell.n_theirs)
    n_images = (source.n_images if source is not None else None) or 0
    return _tested(cell, value, se_ours, se_theirs, n_images, source.reason or "" if source else "")


def _tested(
    cell: Cell, value: float, se_ours: float | None, se_theirs: float | None, n_images: int, why: str
) -> Cell:
    cell = replace(cell, difference=value - cell.theirs, se_ours=se_ours)
    if cell.n_theirs is None or cell.margin is None:
        return replace(cell, reason=_N_UNKNOWN)
    if se_ours is None or se_theirs is None or n_images < 2:
        return replace(cell, reason=why or "ours has no standard error")
    found = equivalence(value - cell.theirs, sqrt(se_ours**2 + se_theirs**2), cell.margin, n_images - 1)
    return replace(
        cell,
        se=found.se,
        ci_low=found.ci_low,
        ci_high=found.ci_high,
        p_equivalent=found.p_equivalent,
        verdict=found.verdict,
    )


def _se_of(metric: StoredMetric, *, is_mean_cosine: bool) -> float | None:
    """Recover a standard error from a stored interval; None without one."""
    if metric.ci_low is None or metric.ci_high is None or not metric.n_images or metric.n_images < 2:
        return None
    quantile = upper_quantile(metric.n_images - 1)
    if not is_mean_cosine:
        return (metric.ci_high - metric.ci_low) / 2 / quantile
    # A mean cosine's interval is symmetric on -log(1 - theta), whose slope is 1 / (1 - theta).
    low, high = (-log1p(-min(bound, -expm1(-30.0))) for bound in (metric.ci_low, metric.ci_high))
    return (1 - metric.value) * (high - low) / 2 / quantile


def _margins(given: Mapping[str, float]) -> dict[str, float]:
    names = {name.partition(".")[0]: name for name in MARGINS} | {name: name for name in MARGINS}
    for name, margin in given.items():
        if name not in names:
            raise unknown_name("metric with a margin", name, sorted(names))
        if not 0 < margin < 1:
            raise UsageError(
                f"--margin {name}={margin:g}: use a share or cosine above 0 and below 1, like 0.03"
            )
    return MARGINS | {names[name]: margin for name, margin in given.items()}


def _benchmark_of(dataset: str, known: Sequence[str]) -> str | None:
    """Return the published benchmark that a dataset is named after, whatever its case and marks."""
    plain = re.sub(r"[^a-z0-9]", "", dataset.lower())
    return next((name for name in known if re.sub(r"[^a-z0-9]", "", name.lower()) in plain), None)
