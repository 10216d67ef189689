"""Sync: replays every complete run into MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.errors import LeaseHeldError, VlmprobeError
from vlmprobe.store.artifacts import forget_artifacts, is_in_mlflow, shard_places
from vlmprobe.store.delivery import Delivery, upload_shards
from vlmprobe.store.runs import complete_runs

if TYPE_CHECKING:
    from pathlib import Path

    from vlmprobe.store.runs import Run
    from vlmprobe.workspace import Workspace

__all__ = ["sync"]


def sync(workspace: Workspace, *, prune: bool = False) -> list[tuple[Run, Delivery]]:
    """Replay every complete run into MLflow, controls too; the stored timestamps keep a replay from adding anything.

    With ``prune``, shards are removed from the spool if MLflow has intact copies; those that it has lost are
    delivered again and stay.

    Raises:
        DatabaseError: there is no database, or it is not current.
        ReadOnlyError: the home cannot be written.
    """
    workspace.require_writable()
    database, console = workspace.database, workspace.console
    with database.transaction(write=False) as connection:
        runs = complete_runs(connection, controls=True)
    delivered = []
    for run in runs:
        try:
            delivery = workspace.deliver(run, replay=True)
        except VlmprobeError as error:
            # A lost shard blocks its own run, not the others.
            console.warn(f"{run.name}: {error}")
            delivered.append((run, Delivery(0, 0, error)))
            continue
        delivered.append((run, delivery))
        if delivery.problem is not None:
            break  # the next one would wait for the same server
        if prune:
            try:
                # A process that extracts or repairs the run reads the files that would be removed.
                with database.lease(run.run_key):
                    _prune(workspace, run)
            except LeaseHeldError as error:
                console.warn(f"{run.name}: its spool was not freed: {error}")
    return delivered


def _prune(workspace: Workspace, run: Run) -> None:
    settings, storage, console = workspace.settings, workspace.storage, workspace.console
    with storage.database.transaction(write=False) as connection:
        places = shard_places(connection, run.run_id)
    held = [place for place in places if settings.is_spooled(place.path, run.run_id) and place.path.exists()]
    lost: dict[int, Path] = {}
    with console.track(f"{run.name}: MLflow's copies", len(held)) as advance:
        for place in held:
            # A past delivery is not reason enough to remove what may be the last copy.
            if is_in_mlflow(place, storage.tracker, storage.cache):
                place.path.unlink()
            else:
                lost[place.number] = place.path
            advance(1)
    if not lost:
        return
    with storage.database.transaction() as connection:
        forget_artifacts(connection, run.run_id, list(lost))
    delivery = upload_shards(storage, run.run_id, lost.items())
    done = "delivered again" if delivery.problem is None else f"not delivered again: {delivery.problem}"
    console.warn(
        f"{run.name}: MLflow had no intact copy of {len(lost)} of {len(held)} shards; {done}; "
        "they stay in the spool"
    )
