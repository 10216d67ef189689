"""Brings MLflow up to date with the database: shards, metrics, status. Repeating it adds nothing (DESIGN 8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmprobe.errors import TrackingError
from vlmprobe.figures import scale_marks
from vlmprobe.store.artifacts import local_shard
from vlmprobe.store.committer import Delivery, upload_shards
from vlmprobe.store.identity import utc_now
from vlmprobe.store.metrics import mark_metrics_synced, read_metrics
from vlmprobe.store.predictions import forget_artifacts, shard_places
from vlmprobe.store.runs import OUTDATED, SENDING, get_run, set_config, set_mlflow_run
from vlmprobe.store.tracking import metric_points

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vlmprobe.settings import Settings
    from vlmprobe.store.engine import Database
    from vlmprobe.store.predictions import ShardPlace
    from vlmprobe.store.runs import Run
    from vlmprobe.store.tracking import Tracker
    from vlmprobe.workflows.console import Console

__all__ = ["deliver_end", "deliver_run", "tell_away"]

#: Samples seen at the scales of the published study.
_USUAL = (0, 80_000, 400_000, 800_000, 2_000_000)


def deliver_run(
    settings: Settings,
    database: Database,
    tracker: Tracker,
    run: Run,
    console: Console,
    *,
    replay: bool = False,
) -> Delivery:
    """Upload what MLflow lacks of a complete run; when it is away, say so and leave it to ``vlmprobe sync``.

    Args:
        settings: where the spool is.
        database: the truth.
        tracker: MLflow.
        run: a complete run.
        console: told when MLflow is away.
        replay: log metrics that were logged before, too (which adds nothing to what is there).
    """
    cache = settings.home / "cache"
    with database.transaction() as connection:
        places = shard_places(connection, run.run_id)
    n_waiting = sum(place["synced_at"] is None for place in places)
    try:
        if run.config.get(OUTDATED):
            _fetch_all(places, tracker, cache)
            mlflow_run_id = tracker.replace_run(run)
        else:
            mlflow_run_id = tracker.ensure_run(run)
        if mlflow_run_id != run.mlflow_run_id:
            if run.mlflow_run_id is not None:
                _fetch_all(places, tracker, cache)
            run = _begin_anew(database, run, mlflow_run_id)
        with database.transaction() as connection:
            waiting = shard_places(connection, run.run_id, unsynced_only=True)
            metrics = read_metrics(connection, run.run_id)
        paths = [local_shard(place, tracker, cache) for place in waiting]
        numbers = [place["shard"] for place in waiting]
        delivery = upload_shards(database, tracker, run.run_id, zip(numbers, paths, strict=True))
        if metrics and (replay or any(row["synced_at"] is None for row in metrics)):
            _send(database, tracker, mlflow_run_id, run.run_id, metrics)
        tracker.remove_twins(run, mlflow_run_id)
        tracker.finish(mlflow_run_id, "FINISHED", color=_color(run))
    except TrackingError as error:
        tell_away(console, str(error))
        return Delivery(0, n_waiting, str(error))
    return delivery


def _fetch_all(places: Sequence[ShardPlace], tracker: Tracker, cache: Path) -> None:
    """Have a copy of each shard here: they are artifacts of a run that is about to go, or is gone already."""
    for place in places:
        local_shard(place, tracker, cache)


def _send(
    database: Database, tracker: Tracker, mlflow_run_id: str, run_id: str, metrics: Sequence[dict[str, Any]]
) -> None:
    """Log metrics, and note before and after that it is so: a crash in between may have left points there."""
    with database.transaction() as connection:
        set_config(connection, run_id, {**get_run(connection, run_id).config, SENDING: True})
    tracker.log_points(mlflow_run_id, metric_points(metrics))
    with database.transaction() as connection:
        # Another process may have computed others meanwhile, which nobody has sent.
        mark_metrics_synced(connection, run_id, utc_now(), until=max(row["computed_at"] for row in metrics))
        config = get_run(connection, run_id).config
        set_config(connection, run_id, {key: value for key, value in config.items() if key != SENDING})


def tell_away(console: Console, problem: str) -> None:
    """Say that MLflow has to wait, and who brings it up to date."""
    console.warn(f"{problem}; everything is in the database and the spool, 'vlmprobe sync' delivers it later")


def deliver_end(tracker: Tracker, run: Run, console: Console) -> None:
    """Tell MLflow that a run was stopped, if it knows of it."""
    if run.mlflow_run_id is None:
        return
    try:
        tracker.finish(run.mlflow_run_id, "KILLED")
    except TrackingError as error:
        console.warn(str(error))


@dataclass(frozen=True, slots=True)
class _Step:
    """One of the usual amounts of training."""

    family: str
    scale: str
    samples_seen: int | None


def _color(run: Run) -> str | None:
    """Return the colour that figures give this amount of training; MLflow's own choice makes two scales alike."""
    usual = [_Step(run.family, str(samples), samples) for samples in _USUAL]
    mark = scale_marks(usual).get((run.family, str(run.samples_seen)))
    return None if mark is None else mark.color


def _begin_anew(database: Database, run: Run, mlflow_run_id: str) -> Run:
    """Note that another MLflow run shows this run from now on: it has none of the metrics and shards yet.

    That is so for changed values, since a chart would draw old and new points as one line, and for a run that
    someone deleted in MLflow.
    """
    with database.transaction() as connection:
        set_mlflow_run(connection, run.run_id, mlflow_run_id)
        if run.mlflow_run_id is not None:
            set_config(connection, run.run_id, {**run.config, OUTDATED: False, SENDING: False})
            mark_metrics_synced(connection, run.run_id, None)
            forget_artifacts(connection, run.run_id)
        return get_run(connection, run.run_id)
