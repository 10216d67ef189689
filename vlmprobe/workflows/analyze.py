"""Analysis: every metric of every complete run that matches, from stored rows and hidden states; no model."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.analysis import Metric
from vlmprobe.analysis.layer_choice import candidates_of, peaks
from vlmprobe.errors import VlmprobeError
from vlmprobe.figures import step_color
from vlmprobe.pairs import Subset
from vlmprobe.store.arrays import RunArrays
from vlmprobe.store.delivery import deliver_run, note_changes
from vlmprobe.store.engine import Database
from vlmprobe.store.metrics import MetricsUpdate, keep_digest, store_metrics, store_results
from vlmprobe.store.migrate import require_schema
from vlmprobe.store.queries import load_query
from vlmprobe.store.rows import fetch
from vlmprobe.store.runs import Run, get_run
from vlmprobe.store.tracking import Tracker
from vlmprobe.study.run_metrics import candidates_result, run_metrics
from vlmprobe.study.selection import dataset_of, find_runs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sqlalchemy import Connection

    from vlmprobe.settings import Settings
    from vlmprobe.workspace import Console

__all__ = ["AnalyzeResult", "analyze"]

_ACCURACY_VERSION = 1


@dataclass(frozen=True, slots=True)
class AnalyzeResult:
    """What the analysis of one run gave."""

    run: Run
    n_pairs: int
    update: MetricsUpdate
    seconds: float


def analyze(
    settings: Settings,
    console: Console,
    *,
    families: Sequence[str] = (),
    scales: Sequence[str] = (),
    data: Path | None = None,
    max_per_category: int = 200,
    templates: Sequence[str] = (),
) -> list[AnalyzeResult]:
    """Compute, store and log the metrics of the complete runs that match; empty filters take all.

    Raises:
        UsageError: no complete run matches; the message lists what there is.
    """
    database = Database(settings.database_path, tell=console.warn)
    require_schema(database)
    tracker = Tracker(settings)
    dataset_id = dataset_of(database, data, max_per_category)
    runs = find_runs(database, families=families, scales=scales, dataset_id=dataset_id, templates=templates)
    return [_analyze_run(settings, database, tracker, run, console) for run in runs]


def _analyze_run(
    settings: Settings, database: Database, tracker: Tracker, run: Run, console: Console
) -> AnalyzeResult:
    started = time.monotonic()
    arrays = RunArrays(database, tracker, run.run_id, settings.home / "cache")
    if not arrays.layers:
        raise VlmprobeError(f"{run.name} has no hidden states; extract it again with --new")
    with tracker.connecting(), console.track(f"{run.name}: metrics", len(arrays.layers)) as advance:
        try:
            metrics, results = run_metrics(arrays, advance)
        except ValueError as error:
            raise VlmprobeError(f"{run.name}: {error}") from error
    results += [candidates_result(candidates_of(metrics, run.n_layers, subset), subset) for subset in Subset]
    metrics += peaks(metrics)
    with database.transaction() as connection:
        metrics += _accuracy(connection, run)
        update = store_metrics(connection, run.run_id, metrics)
        store_results(connection, run.run_id, results)
        keep_digest(connection, run.run_id)
        note_changes(connection, run.run_id, update)
        run = get_run(connection, run.run_id)
    deliver_run(
        database,
        tracker,
        run,
        cache=settings.home / "cache",
        tell=console.warn,
        color=step_color(run.samples_seen),
    )
    return AnalyzeResult(run, len(arrays.pair_ids), update, time.monotonic() - started)


def _accuracy(connection: Connection, run: Run) -> list[Metric]:
    """Take accuracy, with its Wilson bounds, from the same SQL that anyone can run."""
    query = load_query("accuracy/by_axis")
    rows = fetch(connection, query.sql, query.bind({"run_id": run.run_id}))
    return [
        Metric(
            name=f"accuracy.{side}",
            version=_ACCURACY_VERSION,
            subset=str(Subset.ALL),
            target=row["axis"],
            layer=-1,
            value=row[f"acc_{side}"],
            std=None,
            n=row["n"],
            ci_low=row[f"acc_{side}_low"],
            ci_high=row[f"acc_{side}_high"],
        )
        for row in rows
        for side in ("orig", "swap", "both")
    ]
