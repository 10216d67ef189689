"""Everything that a comparison of runs shows, read from the database in one transaction."""

from __future__ import annotations

import math
from copy import copy
from dataclasses import asdict, replace
from statistics import NormalDist
from typing import TYPE_CHECKING

from vlmprobe.analysis import AccuracyPoint, LayerCurve, PeakPoint, SimilarityMatrix
from vlmprobe.analysis.catalog import (
    AXIS_COHERENCE,
    DELTA_SIMILARITY,
    LAYER_CANDIDATES,
    NULLS,
    RECOMMENDED_LAYER,
)
from vlmprobe.analysis.recommendation import NO_AXIS
from vlmprobe.pairs import Subset
from vlmprobe.reports import DatasetFacts, LayerRange, RunFacts
from vlmprobe.store.answers_of_runs import (
    answers_of_runs,
    count_disagreements,
    count_pairs,
    unnamed_answers,
)
from vlmprobe.store.axes import read_axes
from vlmprobe.store.datasets import count_dataset
from vlmprobe.store.leaks import read_leaks
from vlmprobe.store.metrics_of_runs import read_layer_series, results_of_runs
from vlmprobe.store.queries import load_query
from vlmprobe.study.control_curves import read_control_curves

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from vlmprobe.analysis.catalog import Entry
    from vlmprobe.store.engine import Database
    from vlmprobe.store.metrics_of_runs import LayerSeries
    from vlmprobe.store.runs import Run

__all__ = ["Study", "cosine_of", "most_coherent_layer"]

#: A null is a mean and a spread; its band holds 95 % of a normal distribution with these.
_Z = NormalDist().inv_cdf(0.975)
_OLD = "analyzed by an earlier version; run 'vlmprobe analyze' again"


class Study:
    """Some analyzed runs on one dataset: accuracy, curves, peaks and facts, in the runs' order."""

    def __init__(self, database: Database, runs: Sequence[Run]) -> None:
        """Read everything in one transaction."""
        self.runs = list(runs)
        ids = [run.run_id for run in self.runs]
        with database.transaction(write=False) as connection:
            self.axes = read_axes(connection, self.runs[0].dataset_id)
            self._accuracy = self._read_accuracy(connection, "accuracy/by_axis", "axis")
            self._categories = self._read_accuracy(connection, "accuracy/by_category", "category")
            self._series = _by_kind(read_layer_series(connection, ids))
            self.control_curves = read_control_curves(connection, self.runs)
            self._peaks = {subset: self._read_peaks(connection, subset) for subset in map(str, Subset)}
            self._disagreements = count_disagreements(connection, ids)
            self.dataset = self._read_dataset(connection)
            self.leaks = read_leaks(connection, self.runs[0].dataset_id, self.runs[0].template)
            named = (RECOMMENDED_LAYER.name, LAYER_CANDIDATES.name)
            self._results = results_of_runs(connection, ids, named, str(Subset.ALL))
            self._counts = count_pairs(connection, ids)
            self.unnamed = unnamed_answers(connection, ids)

    def part(self, runs: Sequence[Run]) -> Study:
        """Return the study of some of these runs, without reading anything again."""
        found = copy(self)
        found.runs = list(runs)
        names = {(run.family, run.scale) for run in runs}
        found.control_curves = [each for each in self.control_curves if (each.family, each.scale) in names]
        return found

    def _read_accuracy(
        self, connection: Connection, name: str, target: str
    ) -> dict[str, list[AccuracyPoint]]:
        ids = [run.run_id for run in self.runs]
        return answers_of_runs(load_query(name), AccuracyPoint, connection, ids, renamed={target: "target"})

    def _read_peaks(self, connection: Connection, subset: str) -> dict[str, list[PeakPoint]]:
        return answers_of_runs(
            load_query("consistency/peak_layers"),
            PeakPoint,
            connection,
            [run.run_id for run in self.runs],
            {"subset": subset},
            renamed={"axis": "target"},
            metric=AXIS_COHERENCE.name,
            subset=subset,
            ci_low=None,
            ci_high=None,
        )

    def _read_dataset(self, connection: Connection) -> DatasetFacts:
        run = self.runs[0]
        counts = count_dataset(connection, run.dataset_id, run.template)
        return DatasetFacts(dataset_id=run.dataset_id, template=run.template, **asdict(counts))

    @property
    def accuracy(self) -> list[AccuracyPoint]:
        """By axis, and overall."""
        return [point for run in self.runs for point in self._accuracy[run.run_id]]

    @property
    def categories(self) -> list[AccuracyPoint]:
        """Accuracy by category."""
        return [point for run in self.runs for point in self._categories[run.run_id]]

    @property
    def peaks(self) -> list[PeakPoint]:
        """The highest coherence over layers of each axis, of all pairs, then of those with both answers right."""
        return [peak for of_runs in self._peaks.values() for run in self.runs for peak in of_runs[run.run_id]]

    @property
    def disagreements(self) -> int:
        """Answers on which the two checkers disagree."""
        return sum(self._disagreements[run.run_id] for run in self.runs)

    @property
    def layer_ranges(self) -> list[LayerRange]:
        """The layers worth reading."""
        return [self._layer_range(run) for run in self.runs]

    @property
    def facts(self) -> list[RunFacts]:
        """What each run is."""
        return [self._facts(run) for run in self.runs]

    def _layer_range(self, run: Run) -> LayerRange:
        stored, listed = (
            self._results.get((run.run_id, entry.name)) for entry in (RECOMMENDED_LAYER, LAYER_CANDIDATES)
        )
        if stored is None:
            return LayerRange(run.family, run.scale, (), None, (), _OLD)
        return LayerRange(
            run.family,
            run.scale,
            tuple(stored["candidate_range"]),
            stored["layer"],
            tuple(stored["axes"]),
            # Runs that earlier versions analyzed say that there is no axis, which no test shows.
            stored["reason"] if stored["axes"] else NO_AXIS,
            run.n_layers,
            listed["cutoff_layer"] if listed else None,
        )

    def _facts(self, run: Run) -> RunFacts:
        n_pairs, n_failed = self._counts[run.run_id]
        peaks = {
            peak.target: (peak.layer, peak.value)
            for peak in self._peaks[str(Subset.ALL)][run.run_id]
            if peak.layer is not None
        }
        return RunFacts(
            run_id=run.run_id,
            family=run.family,
            scale=run.scale,
            samples_seen=run.samples_seen,
            global_steps=run.global_steps,
            checkpoint=run.checkpoint,
            fingerprint=run.fingerprint or "",
            n_pairs=n_pairs,
            n_failed=n_failed,
            status=run.status,
            dtype=run.dtype or "",
            device=run.device or "",
            peak_layers=peaks,
        )

    def curves(self, metric: str, subset: str, *, run: Run | None = None) -> list[LayerCurve]:
        """Return all curves of one metric, in the runs' order."""
        found = self._series.get((metric, str(subset)), {})
        runs = self.runs if run is None else [run]
        return [_curve_from(each, series) for each in runs for series in found.get(each.run_id, ())]

    def select(
        self,
        metric: str,
        subset: Subset = Subset.ALL,
        *,
        run: Run | None = None,
        targets: Sequence[str] | None = None,
    ) -> list[LayerCurve]:
        """Return the curves of one metric, in the runs' order; those without a single number are left out."""
        return [
            curve
            for curve in self.curves(metric, subset, run=run)
            if (targets is None or curve.target in targets) and any(map(math.isfinite, curve.values))
        ]

    def controls(
        self, entry: Entry, subset: Subset = Subset.ALL, *, run: Run | None = None, panel: str
    ) -> list[LayerCurve]:
        """Return the controls of a metric under the name of the target that they are drawn behind."""
        targets = entry.control.targets(self.axes) if entry.control else ()
        return [
            replace(curve, target=panel)
            for curve in self.select(entry.name, subset, run=run, targets=targets)
        ]

    def similarity(self, subset: Subset = Subset.ALL) -> list[SimilarityMatrix]:
        """Return each run's C x C cosines at the layer where its axes are most coherent on average."""
        return [
            self.similarity_at(
                run, most_coherent_layer(self.select(AXIS_COHERENCE.name, subset, run=run), run), subset
            )
            for run in self.runs
        ]

    def similarity_at(self, run: Run, layer: int, subset: Subset = Subset.ALL) -> SimilarityMatrix:
        """Return the C x C cosines of one run's mean deltas in one layer."""
        cosines = {
            curve.target: curve.values[curve.layers.index(layer)]
            for curve in self.curves(DELTA_SIMILARITY.name, subset, run=run)
            if layer in curve.layers
        }
        categories = self.axes.categories
        return SimilarityMatrix(
            family=run.family,
            scale=run.scale,
            layer=layer,
            subset=str(subset),
            values=tuple(tuple(cosine_of(cosines, a, b) for b in categories) for a in categories),
        )

    @property
    def unreliable(self) -> dict[tuple[str, str], set[str]]:
        """Per scale the categories that are answered right less than half of the time."""
        found: dict[tuple[str, str], set[str]] = {}
        for point in self.categories:
            if not point.reliable:
                found.setdefault((point.family, point.scale), set()).add(point.target)
        return found


def _by_kind(found: Sequence[LayerSeries]) -> dict[tuple[str, str], dict[str, list[LayerSeries]]]:
    """Sort series by metric and subset, then by run."""
    by_kind: dict[tuple[str, str], dict[str, list[LayerSeries]]] = {}
    for each in found:
        by_kind.setdefault((each.metric, each.subset), {}).setdefault(each.run_id, []).append(each)
    return by_kind


def _curve_from(run: Run, series: LayerSeries) -> LayerCurve:
    """Return one metric and target of a run as a curve; a null's bounds are its 95 % band."""
    is_null = series.target.split("/")[0] in NULLS
    low = series.values - _Z * series.stds if is_null else series.low
    high = series.values + _Z * series.stds if is_null else series.high
    return LayerCurve(
        family=run.family,
        scale=run.scale,
        samples_seen=run.samples_seen,
        metric=series.metric,
        target=series.target,
        subset=series.subset,
        layers=tuple(series.layers.tolist()),
        values=tuple(series.values.tolist()),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
        n=series.n,
        n_images=series.n_images,
    )


def most_coherent_layer(curves: Sequence[LayerCurve], run: Run) -> int:
    """Return the layer with the highest mean coherence over the axes, or the last layer without any."""
    if not curves:
        return (run.n_layers or 1) - 1
    layers = curves[0].layers
    means = []
    for place in range(len(layers)):
        values = [curve.values[place] for curve in curves if not math.isnan(curve.values[place])]
        means.append(sum(values) / len(values) if values else -math.inf)
    return layers[max(range(len(layers)), key=lambda place: (means[place], place))]


def cosine_of(cosines: dict[str, float], first: str, second: str) -> float:
    """Return the cosine of two categories from those stored (one order only); NaN = no data."""
    if first == second:
        return 1.0
    return cosines.get(f"{first}/{second}", cosines.get(f"{second}/{first}", math.nan))
