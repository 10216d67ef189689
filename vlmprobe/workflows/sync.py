"""Sync: replays every complete run into MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vlmprobe.errors import VlmprobeError
from vlmprobe.store.committer import Delivery
from vlmprobe.store.engine import Database
from vlmprobe.store.migrate import require_schema
from vlmprobe.store.predictions import shard_places
from vlmprobe.store.runs import complete_runs
from vlmprobe.store.tracking import Tracker
from vlmprobe.workflows.deliver import deliver_run

if TYPE_CHECKING:
    from vlmprobe.settings import Settings
    from vlmprobe.store.runs import Run
    from vlmprobe.workflows.console import Console

__all__ = ["sync"]


def sync(settings: Settings, console: Console, *, prune: bool = False) -> list[tuple[Run, Delivery]]:
    """Log what MLflow lacks, and again what it has: the stored times make a replay add nothing.

    With ``prune`` the spool's copies of shards that MLflow has are removed.

    Raises:
        DatabaseError: there is no database, or it is not current.
    """
    database = Database(settings.database_path, tell=console.warn)
    require_schema(database)
    tracker = Tracker(settings)
    with database.transaction() as connection:
        runs = complete_runs(connection)
    delivered = []
    for run in runs:
        try:
            delivery = deliver_run(settings, database, tracker, run, console, replay=True)
        except VlmprobeError as error:
            # A shard that is lost keeps its own run back, not the others.
            console.warn(f"{run.name}: {error}")
            delivered.append((run, Delivery(0, 0, str(error))))
            continue
        delivered.append((run, delivery))
        if delivery.problem is not None:
            break  # the next one would wait for the same server
        if prune:
            _prune(database, run, settings.spool)
    return delivered


def _prune(database: Database, run: Run, spool: Path) -> None:
    with database.transaction() as connection:
        places = shard_places(connection, run.run_id)
    for place in places:
        path = Path(place["path"])
        if place["synced_at"] is not None and path.is_relative_to(spool):
            path.unlink(missing_ok=True)
