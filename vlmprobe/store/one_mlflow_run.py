"""Links a run to its MLflow run: of processes that extract parts of it and begin at once, one makes that."""

from __future__ import annotations

import secrets
import time
from functools import partial
from typing import TYPE_CHECKING

from vlmprobe.store.artifacts import forget_artifacts, shard_places
from vlmprobe.store.metrics import mark_metrics_synced
from vlmprobe.store.row_lease import check_lease
from vlmprobe.store.runs import get_run, set_config, set_mlflow_run
from vlmprobe.store.server_away import retried

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from vlmprobe.store.runs import Run
    from vlmprobe.store.storage import Storage

__all__ = ["link_run", "linked_run"]

#: Key in a run's config: whose turn it is to make the MLflow run.
_MAKING = "mlflow_making"
#: A process that does not make it within this time is not waited for any longer: it may have died.
_PATIENCE_S, _LOOK_AGAIN_S = 60.0, 0.3


def linked_run(storage: Storage, run_id: str) -> tuple[Run, str]:
    """Return a run and the id of the MLflow run that it is linked to; make that unless another process does.

    Raises:
        TrackingError: MLflow does not respond or refuses.
        LeaseLostError: this process held the lease of the run or of a part, and another one took it.
    """
    database, tracker, token = storage.database, storage.tracker, secrets.token_hex(8)
    theirs, since = "", time.monotonic()
    while True:
        run = retried(database, partial(get_run, run_id=run_id), write=False)
        if run.mlflow_run_id is not None and tracker.shows(run):
            return run, run.mlflow_run_id
        passed_over = theirs if time.monotonic() - since > _PATIENCE_S else ""
        turn = retried(database, partial(_take_turn, run=run, token=token, passed_over=passed_over))
        if turn == token:
            break
        if turn != theirs:
            theirs, since = turn, time.monotonic()
        time.sleep(_LOOK_AGAIN_S)
    try:
        made = tracker.ensure_run(run)
    except BaseException:
        retried(database, partial(_end_turn, run_id=run_id, token=token))
        raise
    run = retried(database, partial(_link, run=run, token=token, made=made))
    return run, run.mlflow_run_id or made


def _take_turn(connection: Connection, run: Run, token: str, passed_over: str) -> str:
    """Take the turn unless another process has it, or has just made the MLflow run; return who has it."""
    check_lease(connection, run.run_id)
    now = get_run(connection, run.run_id)
    turn: str | None = now.config.get(_MAKING)
    if turn not in (None, token, passed_over):
        return turn or ""
    if now.mlflow_run_id != run.mlflow_run_id:
        return ""
    set_config(connection, run.run_id, {**now.config, _MAKING: token})
    return token


def _end_turn(connection: Connection, run_id: str, token: str) -> None:
    config = get_run(connection, run_id).config
    if config.get(_MAKING) == token:
        set_config(connection, run_id, {key: value for key, value in config.items() if key != _MAKING})


def _link(connection: Connection, run: Run, token: str, made: str) -> Run:
    check_lease(connection, run.run_id)
    _end_turn(connection, run.run_id, token)
    # After a turn that took too long, another process may have made one; ours is then a twin, and empty.
    if get_run(connection, run.run_id).mlflow_run_id == run.mlflow_run_id != made:
        link_run(connection, run, made)
    return get_run(connection, run.run_id)


def link_run(connection: Connection, run: Run, mlflow_run_id: str) -> None:
    """Link a run to an MLflow run that has nothing of it yet; mark what that lacks as not delivered.

    Skip shards that exist only in the previous one; they can be downloaded from a deleted run until it is purged.
    """
    set_mlflow_run(connection, run.run_id, mlflow_run_id)
    if run.mlflow_run_id is not None:
        here = [place.number for place in shard_places(connection, run.run_id) if place.path.exists()]
        forget_artifacts(connection, run.run_id, here)
        mark_metrics_synced(connection, run.run_id, None)
