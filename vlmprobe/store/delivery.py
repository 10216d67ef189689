"""Delivers shards, metrics and status of a run to MLflow, and keeps flags of how far it got.

The database is the truth and MLflow a projection of it, so delivering again adds nothing (DESIGN 8).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from vlmprobe.errors import TrackingError, VlmprobeError
from vlmprobe.store.artifacts import forget_artifacts, mark_synced, shard_places
from vlmprobe.store.identity import utc_now
from vlmprobe.store.metrics import mark_metrics_synced, read_metrics
from vlmprobe.store.one_mlflow_run import link_run, linked_run
from vlmprobe.store.row_lease import check_lease
from vlmprobe.store.runs import MLFLOW_OUTDATED, MLFLOW_SENDING, get_run, set_config, set_mlflow_run
from vlmprobe.store.server_away import retried
from vlmprobe.store.tracking import metric_points
from vlmprobe.store.verdicts import verdict_tags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from sqlalchemy import Connection

    from vlmprobe.store.artifacts import ShardPlace
    from vlmprobe.store.engine import Database
    from vlmprobe.store.metrics import MetricsUpdate, StoredMetric
    from vlmprobe.store.runs import Run
    from vlmprobe.store.storage import Storage
    from vlmprobe.store.tracking import Tracker

__all__ = [
    "Delivery",
    "deliver_end",
    "deliver_run",
    "flag_outdated",
    "is_delivered",
    "upload_shards",
    "warn_offline",
]

#: After this many failed uploads in a row the rest waits for ``vlmprobe sync``.
_PATIENCE = 2


@dataclass(frozen=True, slots=True)
class Delivery:
    """The outcome of delivering a run's shards."""

    uploaded: int
    waiting: int
    problem: VlmprobeError | None = None
    """Why something is not in MLflow, if so."""
    gave_up: bool = False
    """Whether MLflow failed while the run was only waiting for it; trying again would double the wait."""

    @property
    def state(self) -> str:
        """In a word: ``in MLflow``, ``waiting`` for it, or ``refused`` by it, where waiting does not help."""
        if self.problem is None:
            return "in MLflow"
        return "refused" if isinstance(self.problem, TrackingError) and self.problem.lasts else "waiting"


def is_delivered(connection: Connection, run: Run) -> bool:
    """Return whether, as far as the database knows, MLflow has a run's shards and its current metrics."""
    return (
        run.mlflow_run_id is not None
        and not run.is_outdated
        and not run.is_being_sent
        and not shard_places(connection, run.run_id, unsynced_only=True)
        and all(metric.synced_at is not None for metric in read_metrics(connection, run.run_id))
    )


def deliver_run(
    storage: Storage,
    run: Run,
    *,
    warn: Callable[[str], None],
    color: str | None = None,
    replay: bool = False,
) -> Delivery:
    """Upload what MLflow lacks of a complete run; if it is offline, warn and leave it to ``vlmprobe sync``.

    Args:
        storage: the database (the source of truth) and MLflow.
        run: a complete run.
        warn: called with a warning when MLflow is unreachable.
        color: of the run in MLflow's charts; MLflow's own choice when None.
        replay: log metrics that were logged before, too (which adds nothing to what is there).
    """
    database, tracker = storage.database, storage.tracker
    with database.transaction(write=False) as connection:
        places = shard_places(connection, run.run_id)
    n_waiting = sum(place.synced_at is None for place in places)
    try:
        run, mlflow_run_id = _linked(storage, run, places)
        with database.transaction(write=False) as connection:
            waiting = shard_places(connection, run.run_id, unsynced_only=True)
            metrics = read_metrics(connection, run.run_id)
            tags = verdict_tags(connection, run.run_id)
        # Fetch all before sending the first: if one is lost, nothing of the run is sent.
        shards = [(place.number, storage.fetch(place)) for place in waiting]
        delivery = upload_shards(storage, run.run_id, shards)
        if metrics and (replay or any(metric.synced_at is None for metric in metrics)):
            _send(storage, mlflow_run_id, run.run_id, metrics)
        if tags:
            tracker.tag(mlflow_run_id, tags)
        tracker.remove_twins(run, mlflow_run_id)
        tracker.finish(mlflow_run_id, "FINISHED", color=color)
    except TrackingError as error:
        warn_offline(warn, error)
        return Delivery(0, n_waiting, error)
    return delivery


def _linked(storage: Storage, run: Run, places: Sequence[ShardPlace]) -> tuple[Run, str]:
    """Link a run to its MLflow run, a new one if that is outdated or gone; return the MLflow run's id, too."""
    if run.is_outdated:
        _fetch_all(places, storage)
        mlflow_run_id = storage.tracker.replace_run(run)
    else:
        mlflow_run_id = storage.tracker.ensure_run(run)
    if mlflow_run_id == run.mlflow_run_id:
        return run, mlflow_run_id
    if run.mlflow_run_id is not None:
        _fetch_all(places, storage)
    return _relink(storage.database, run, mlflow_run_id), mlflow_run_id


def _fetch_all(places: Sequence[ShardPlace], storage: Storage) -> None:
    """Bring each shard into the spool: its MLflow run is deleted or about to be, and a cache may lose its copy."""
    for place in places:
        storage.fetch_into_spool(place)


def _send(storage: Storage, mlflow_run_id: str, run_id: str, metrics: Sequence[StoredMetric]) -> None:
    """Log metrics, flagged meanwhile as being sent: after a crash, MLflow may hold some of the points."""
    with storage.database.transaction() as connection:
        set_config(connection, run_id, {**get_run(connection, run_id).config, MLFLOW_SENDING: True})
    storage.tracker.log_points(mlflow_run_id, metric_points(metrics))
    with storage.database.transaction() as connection:
        # Another process may have computed newer ones meanwhile, which are not sent yet.
        mark_metrics_synced(
            connection, run_id, utc_now(), until=max(metric.computed_at for metric in metrics)
        )
        config = get_run(connection, run_id).config
        set_config(connection, run_id, {key: value for key, value in config.items() if key != MLFLOW_SENDING})


def warn_offline(warn: Callable[[str], None], problem: TrackingError) -> None:
    """Warn that MLflow is not up to date, and name the command that delivers the rest."""
    later = (
        "'vlmprobe sync' uploads it, but only after this is mended"
        if problem.lasts
        else "upload it later with 'vlmprobe sync'"
    )
    warn(f"{problem}; everything is saved in the database and the spool; {later}")


def deliver_end(tracker: Tracker, run: Run, warn: Callable[[str], None]) -> None:
    """Mark a stopped run as killed in MLflow, if it is there."""
    if run.mlflow_run_id is None:
        return
    try:
        tracker.finish(run.mlflow_run_id, "KILLED")
    except TrackingError as error:
        warn(str(error))


def flag_outdated(connection: Connection, run_id: str, update: MetricsUpdate) -> None:
    """Flag that MLflow needs a fresh run if it shows, or may show, values that have changed since."""
    run = get_run(connection, run_id)
    if update.outdated or (update.changed and run.is_being_sent):
        set_config(connection, run_id, {**run.config, MLFLOW_OUTDATED: True})


def _relink(database: Database, run: Run, mlflow_run_id: str) -> Run:
    """Link a run to another MLflow run, which has none of its metrics and shards yet.

    This happens when values changed, since a chart would draw old and new points as one line, and when
    someone deleted the run in MLflow.
    """
    with database.transaction() as connection:
        set_mlflow_run(connection, run.run_id, mlflow_run_id)
        if run.mlflow_run_id is not None:
            # As it is now: another host may have renamed the run while its shards were fetched.
            config = get_run(connection, run.run_id).config
            set_config(connection, run.run_id, {**config, MLFLOW_OUTDATED: False, MLFLOW_SENDING: False})
            mark_metrics_synced(connection, run.run_id, None)
            forget_artifacts(connection, run.run_id)
        return get_run(connection, run.run_id)


def upload_shards(
    storage: Storage,
    run_id: str,
    shards: Iterable[tuple[int, Path]],
    *,
    is_closing: Callable[[], bool] = lambda: False,
    fenced: bool = False,
    shared: bool = False,
) -> Delivery:
    """Log shards as artifacts of the run's MLflow run; what cannot be delivered stays in the spool.

    Once ``is_closing()``, stop at the first failure: each attempt on a hanging server takes a full timeout.
    With ``shared``, other processes upload other shards of the run meanwhile.

    Raises:
        LeaseLostError: with ``fenced``, this process held the lease of the run, and another one took it.
    """
    uploaded = waiting = failed_in_a_row = 0
    problem: TrackingError | None = None
    gave_up = False
    for number, path in shards:
        if failed_in_a_row >= _PATIENCE or gave_up:
            waiting += 1
            continue
        try:
            run, mlflow_run_id = _shown(storage, run_id, shared=shared)
            uri = storage.tracker.upload(mlflow_run_id, path, "hidden_states")
        except TrackingError as error:
            failed_in_a_row += 1
            waiting += 1
            problem = error
            gave_up = is_closing()
            continue
        failed_in_a_row = 0
        retried(
            storage.database,
            partial(
                _note_upload, run=run, mlflow_run_id=mlflow_run_id, number=number, uri=uri, fenced=fenced
            ),
        )
        uploaded += 1
    return Delivery(uploaded, waiting, problem, gave_up)


def _shown(storage: Storage, run_id: str, *, shared: bool) -> tuple[Run, str]:
    """Return a run and the MLflow run that shows it, which may not be linked yet."""
    if shared:
        return linked_run(storage, run_id)
    run = retried(storage.database, partial(get_run, run_id=run_id), write=False)
    return run, storage.tracker.ensure_run(run)


def _note_upload(
    connection: Connection, run: Run, mlflow_run_id: str, number: int, uri: str, *, fenced: bool
) -> None:
    if fenced:
        check_lease(connection, run.run_id)
    if run.mlflow_run_id != mlflow_run_id:
        link_run(connection, run, mlflow_run_id)
    mark_synced(connection, run.run_id, number, uri)
