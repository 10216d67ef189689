"""Everything that a comparison of runs shows, read from the database in one transaction."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from vlmprobe.analysis import AccuracyPoint, LayerCurve, PeakPoint, SimilarityMatrix
from vlmprobe.analysis.catalog import (
    AXIS_COHERENCE,
    CROSS_AXIS_ALIGNMENT_CANONICAL,
    DELTA_SIMILARITY,
    LAYER_CANDIDATES,
    NULLS,
    PER_SAMPLE,
)
from vlmprobe.pairs import CATEGORIES, Subset
from vlmprobe.reports import DatasetFacts, LayerRange, RunFacts
from vlmprobe.store.metrics import read_results_json
from vlmprobe.store.queries import load_query
from vlmprobe.store.rows import fetch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from vlmprobe.store.engine import Database
    from vlmprobe.store.runs import Run

__all__ = ["Study", "cosine_of", "curve_from", "most_coherent_layer", "number_of"]

#: A null is a mean and a spread: its band is what 95 % of a normal with these would fill.
_Z = 1.959963984540054


class Study:
    """Some analyzed runs on one dataset: accuracy, curves, peaks and facts, in the runs' order."""

    def __init__(self, database: Database, runs: Sequence[Run]) -> None:
        """Read it all."""
        self.runs = list(runs)
        self._order = {run.run_id: place for place, run in enumerate(self.runs)}
        with database.transaction() as connection:
            self.accuracy = self._read_accuracy(connection, "accuracy/by_axis", "axis")
            self.categories = self._read_accuracy(connection, "accuracy/by_category", "category")
            self.curves = self._read_curves(connection)
            self.peaks = self._read_peaks(connection)
            self.disagreements = len(self._rows(connection, "accuracy/checkers_disagree"))
            self.dataset = self._read_dataset(connection)
            self.layer_ranges = [self._layer_range(connection, run) for run in self.runs]
            self.facts = [self._facts(connection, run) for run in self.runs]

    def _rows(self, connection: Connection, name: str, **parameters: str) -> list[dict[str, Any]]:
        query = load_query(name)
        rows = [
            row
            for run in self.runs
            for row in fetch(connection, query.sql, query.bind({**parameters, "run_id": run.run_id}))
        ]
        return sorted(rows, key=lambda row: self._order[row["run_id"]])

    def _read_accuracy(self, connection: Connection, query: str, target: str) -> list[AccuracyPoint]:
        names = {field.name for field in fields(AccuracyPoint)}
        return [
            AccuracyPoint(target=row[target], **{name: row[name] for name in names & row.keys()})
            for row in self._rows(connection, query)
        ]

    def _read_curves(self, connection: Connection) -> list[tuple[str, LayerCurve]]:
        rows = fetch(
            connection,
            "SELECT * FROM consistency WHERE list_contains($ids, run_id) AND layer >= 0 "
            "ORDER BY run_id, metric, version, subset, target, layer",
            {"ids": [run.run_id for run in self.runs]},
        )
        grouped: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for row in rows:
            grouped.setdefault((row["run_id"], row["metric"], row["subset"], row["target"]), []).append(row)
        return [(key[0], curve_from(members)) for key, members in grouped.items()]

    def _read_peaks(self, connection: Connection) -> list[PeakPoint]:
        names = {field.name for field in fields(PeakPoint)}
        return [
            PeakPoint(
                metric=AXIS_COHERENCE.name,
                target=row["axis"],
                subset=str(subset),
                **{name: row[name] for name in names & row.keys()},
            )
            for subset in Subset
            for row in self._rows(connection, "consistency/peak_layers", subset=str(subset))
        ]

    def _read_dataset(self, connection: Connection) -> DatasetFacts:
        run = self.runs[0]
        row = fetch(
            connection,
            """
            SELECT name, path,
                (SELECT count(*) FROM swap_pairs WHERE dataset_id = $id AND template = $template AND origin = 'row')
                    AS n_pairs,
                (SELECT count(*) FROM row_problems WHERE dataset_id = $id) AS n_problems
            FROM datasets WHERE dataset_id = $id
            """,
            {"id": run.dataset_id, "template": run.template},
        )[0]
        return DatasetFacts(dataset_id=run.dataset_id, template=run.template, **row)

    def _layer_range(self, connection: Connection, run: Run) -> LayerRange:
        stored = read_results_json(connection, run.run_id, LAYER_CANDIDATES.name, str(Subset.ALL)) or {}
        return LayerRange(
            run.family, run.scale, tuple(stored.get("candidate_range", ())), stored.get("recommended")
        )

    def _facts(self, connection: Connection, run: Run) -> RunFacts:
        counts = fetch(
            connection,
            """
            SELECT count(DISTINCT pair_id) AS n_pairs,
                (SELECT count(DISTINCT pair_id) FROM failures WHERE run_id = $id AND pair_id NOT IN
                    (SELECT pair_id FROM predictions WHERE run_id = $id)) AS n_failed
            FROM predictions WHERE run_id = $id
            """,
            {"id": run.run_id},
        )[0]
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
            status=run.status,
            dtype=run.dtype or "",
            device=run.device or "",
            peak_layers=peaks,
            **counts,
        )

    def select(
        self,
        metric: str,
        subset: Subset = Subset.ALL,
        *,
        run: Run | None = None,
        targets: Sequence[str] | None = None,
    ) -> list[LayerCurve]:
        """Return the curves of one metric, in the runs' order; those without one number are left out."""
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
        self, metric: str, target: str, subset: Subset = Subset.ALL, *, panel: str
    ) -> list[LayerCurve]:
        """Return the controls of a metric under the name of the target that they are drawn behind."""
        return [replace(curve, target=panel) for curve in self.select(metric, subset, targets=(target,))]

    def similarity(self, subset: Subset = Subset.ALL) -> list[SimilarityMatrix]:
        """Return each run's 6x6 cosines at the layer where its axes are most coherent on average."""
        return [
            self.similarity_at(
                run, most_coherent_layer(self.select(AXIS_COHERENCE.name, subset, run=run), run), subset
            )
            for run in self.runs
        ]

    def similarity_at(self, run: Run, layer: int, subset: Subset = Subset.ALL) -> SimilarityMatrix:
        """Return the 6x6 cosines of one run's mean deltas in one layer."""
        cosines = {
            curve.target: curve.values[curve.layers.index(layer)]
            for run_id, curve in self.curves
            if run_id == run.run_id
            and curve.subset == subset
            and curve.metric == DELTA_SIMILARITY.name
            and layer in curve.layers
        }
        return SimilarityMatrix(
            family=run.family,
            scale=run.scale,
            layer=layer,
            subset=str(subset),
            values=tuple(tuple(cosine_of(cosines, a, b) for b in CATEGORIES) for a in CATEGORIES),
        )

    def peak_points(self, subset: Subset = Subset.ALL) -> list[PeakPoint]:
        """Return the peak of each axis's coherence over one subset."""
        return [peak for peak in self.peaks if peak.subset == subset]

    @property
    def unreliable(self) -> dict[tuple[str, str], set[str]]:
        """Per scale the categories that are answered right less than half of the time."""
        found: dict[tuple[str, str], set[str]] = {}
        for point in self.categories:
            if not point.reliable:
                found.setdefault((point.family, point.scale), set()).add(point.target)
        return found

    def notes(self) -> list[str]:
        """Say what a reader must know before trusting a number."""
        notes = [
            f"{point.family} @ {point.scale}: {point.target} is unreliable (right in {point.acc_orig:.0%} of the "
            f"original and {point.acc_swap:.0%} of the swapped questions; half of each is asked for)"
            for point in self.categories
            if not point.reliable
        ]
        notes += self._too_few_quads()
        counted: dict[tuple[str, str], set[str]] = {}
        for _, curve in self.curves:
            if curve.metric != AXIS_COHERENCE.name or curve.subset != Subset.BOTH_CORRECT:
                continue
            if all(math.isnan(value) for value in curve.values):
                counted.setdefault((curve.family, curve.scale), set()).add(curve.target)
        notes += [
            f"{family} @ {scale}: too few pairs with both answers right in {', '.join(sorted(axes))}: "
            "coherence over both_correct is n/a there"
            for (family, scale), axes in counted.items()
        ]
        notes += [
            f"{run.family} @ {run.scale}: {run.n_failed} pairs failed" for run in self.facts if run.n_failed
        ]
        return notes

    def _too_few_quads(self) -> list[str]:
        return [
            f"{curve.family} @ {curve.scale}: too few quads with all four answers right: cross-axis alignment over "
            "both_correct is n/a there"
            for _, curve in self.curves
            if (curve.metric, curve.target) == (CROSS_AXIS_ALIGNMENT_CANONICAL.name, PER_SAMPLE)
            and curve.subset == Subset.BOTH_CORRECT
            and all(math.isnan(value) for value in curve.values)
        ]


def number_of(value: float | None) -> float:
    """Return a column's value; NULL is NaN."""
    return math.nan if value is None else value


def curve_from(rows: Sequence[dict[str, Any]]) -> LayerCurve:
    """Return the rows of one metric and target, by layer, as a curve; a null's bounds are its 95 % band."""
    first = rows[0]
    is_null = first["target"].split("/")[0] in NULLS
    return LayerCurve(
        family=first["family"],
        scale=first["scale"],
        samples_seen=first["samples_seen"],
        metric=first["metric"],
        target=first["target"],
        subset=first["subset"],
        layers=tuple(row["layer"] for row in rows),
        values=tuple(number_of(row["value"]) for row in rows),
        low=tuple(_end(row, -_Z) if is_null else number_of(row["ci_low"]) for row in rows),
        high=tuple(_end(row, _Z) if is_null else number_of(row["ci_high"]) for row in rows),
        n=first["n"],
    )


def _end(row: dict[str, Any], z: float) -> float:
    return number_of(row["value"]) + z * number_of(row["std"])


def most_coherent_layer(curves: Sequence[LayerCurve], run: Run) -> int:
    """Return the layer with the highest mean coherence over the axes that have one; the last without any."""
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
