"""Everything that a comparison of runs shows, read from the database in one transaction."""

from __future__ import annotations

import math
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
from vlmprobe.store.axes import read_axes
from vlmprobe.store.datasets import count_dataset
from vlmprobe.store.leaks import read_leaks
from vlmprobe.store.metrics import read_layer_values, read_results_json
from vlmprobe.store.predictions import count_pairs, unnamed_answers
from vlmprobe.store.queries import load_query
from vlmprobe.study.control_curves import read_control_curves

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from vlmprobe.analysis.catalog import Entry
    from vlmprobe.store.engine import Database
    from vlmprobe.store.metrics import LayerValue
    from vlmprobe.store.runs import Run

__all__ = ["Study", "cosine_of", "curve_from", "most_coherent_layer"]

#: A null is a mean and a spread; its band holds 95 % of a normal distribution with these.
_Z = NormalDist().inv_cdf(0.975)
_OLD = "analyzed by an earlier version; run 'vlmprobe analyze' again"


class Study:
    """Some analyzed runs on one dataset: accuracy, curves, peaks and facts, in the runs' order."""

    def __init__(self, database: Database, runs: Sequence[Run]) -> None:
        """Read everything in one transaction."""
        self.runs = list(runs)
        self._order = {run.run_id: place for place, run in enumerate(self.runs)}
        with database.transaction(write=False) as connection:
            self.axes = read_axes(connection, self.runs[0].dataset_id)
            self.accuracy = self._read_accuracy(connection, "accuracy/by_axis", "axis")
            self.categories = self._read_accuracy(connection, "accuracy/by_category", "category")
            self.curves = self._read_curves(connection)
            self.control_curves = read_control_curves(connection, self.runs)
            self.peaks = self._read_peaks(connection)
            disagree = load_query("accuracy/checkers_disagree")
            self.disagreements = sum(len(disagree.table(connection, {"run_id": run.run_id})) for run in runs)
            self.dataset = self._read_dataset(connection)
            self.leaks = read_leaks(connection, self.runs[0].dataset_id, self.runs[0].template)
            self.layer_ranges = [self._layer_range(connection, run) for run in self.runs]
            self.facts = [self._facts(connection, run) for run in self.runs]
            self.unnamed = {run.run_id: unnamed_answers(connection, run.run_id) for run in self.runs}

    def _read_accuracy(self, connection: Connection, name: str, target: str) -> list[AccuracyPoint]:
        query, renamed = load_query(name), {target: "target"}
        return [
            point
            for run in self.runs
            for point in query.rows(AccuracyPoint, connection, {"run_id": run.run_id}, renamed=renamed)
        ]

    def _read_curves(self, connection: Connection) -> list[tuple[str, LayerCurve]]:
        grouped: dict[tuple[str, ...], list[LayerValue]] = {}
        for each in read_layer_values(connection, [run.run_id for run in self.runs]):
            grouped.setdefault((each.run_id, each.metric, each.subset, each.target), []).append(each)
        return [(key[0], curve_from(members)) for key, members in grouped.items()]

    def _read_peaks(self, connection: Connection) -> list[PeakPoint]:
        query = load_query("consistency/peak_layers")
        return [
            peak
            for subset in map(str, Subset)
            for run in self.runs
            for peak in query.rows(
                PeakPoint,
                connection,
                {"run_id": run.run_id, "subset": subset},
                renamed={"axis": "target"},
                metric=AXIS_COHERENCE.name,
                subset=subset,
                ci_low=None,
                ci_high=None,
            )
        ]

    def _read_dataset(self, connection: Connection) -> DatasetFacts:
        run = self.runs[0]
        counts = count_dataset(connection, run.dataset_id, run.template)
        return DatasetFacts(dataset_id=run.dataset_id, template=run.template, **asdict(counts))

    def _layer_range(self, connection: Connection, run: Run) -> LayerRange:
        stored, listed = (
            read_results_json(connection, run.run_id, entry.name, str(Subset.ALL))
            for entry in (RECOMMENDED_LAYER, LAYER_CANDIDATES)
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

    def _facts(self, connection: Connection, run: Run) -> RunFacts:
        n_pairs, n_failed = count_pairs(connection, run.run_id)
        peaks = {
            peak.target: (peak.layer, peak.value)
            for peak in self.peaks
            if peak.run_id == run.run_id and peak.subset == Subset.ALL and peak.layer is not None
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
            for run_id, curve in sorted(self.curves, key=lambda pair: self._order[pair[0]])
            if curve.metric == metric
            and curve.subset == subset
            and (run is None or run_id == run.run_id)
            and (targets is None or curve.target in targets)
            and any(math.isfinite(value) for value in curve.values)
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
            for run_id, curve in self.curves
            if run_id == run.run_id
            and curve.subset == subset
            and curve.metric == DELTA_SIMILARITY.name
            and layer in curve.layers
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


def curve_from(values: Sequence[LayerValue]) -> LayerCurve:
    """Return one metric and target, by layer, as a curve; a null's bounds are its 95 % band."""
    first = values[0]
    is_null = first.target.split("/")[0] in NULLS
    return LayerCurve(
        family=first.family,
        scale=first.scale,
        samples_seen=first.samples_seen,
        metric=first.metric,
        target=first.target,
        subset=first.subset,
        layers=tuple(each.layer for each in values),
        values=tuple(each.value for each in values),
        low=tuple(each.value - _Z * each.std if is_null else each.ci_low for each in values),
        high=tuple(each.value + _Z * each.std if is_null else each.ci_high for each in values),
        n=first.n,
        n_images=first.n_images,
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
