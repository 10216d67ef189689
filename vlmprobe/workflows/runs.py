"""Runs: removes one for good, or renames a scale."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING

from vlmprobe.errors import TrackingError, UsageError
from vlmprobe.families import load_catalog
from vlmprobe.safe_names import safe_name
from vlmprobe.store.lease import hold_lease
from vlmprobe.store.run_edits import delete_run, rename_run
from vlmprobe.store.runs import get_run, list_runs

if TYPE_CHECKING:
    from vlmprobe.store.runs import ListedRun, Run
    from vlmprobe.workspace import Workspace

__all__ = ["find_listed", "remove", "rename"]

#: Characters of an id from which on it names a run.
_LEAST = 8


def find_listed(workspace: Workspace, run_id: str) -> ListedRun:
    """Return the run of an id, or of its beginning or end (8 characters at least: ids begin with their time).

    Raises:
        UsageError: there is none, or several begin or end so.
    """
    with workspace.database.transaction() as connection:
        listed = list_runs(connection)
    found = [run for run in listed if run.run_id == run_id] or [
        run
        for run in listed
        if len(run_id) >= _LEAST and (run.run_id.startswith(run_id) or run.run_id.endswith(run_id))
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{run_id!r} is the beginning or the end of {len(found)} run ids; give more of it")
    raise UsageError(f"no run {run_id[:40]!r}; list the run ids with 'vlmprobe runs'")


def remove(workspace: Workspace, run_id: str) -> Run:
    """Remove a run for good: its rows, then its spool; its MLflow run goes to MLflow's trash.

    Raises:
        UsageError: there is no such run.
        LeaseHeldError: a process is extracting it.
        ReadOnlyError: the home cannot be written.
    """
    workspace.require_writable()
    database = workspace.database
    with database.transaction() as connection:
        run = get_run(connection, run_id)
    with hold_lease(database.path, run.run_key):
        with database.transaction() as connection:
            delete_run(connection, run_id)
        # After the rows: files without rows are found by 'vlmprobe verify', rows without files are a loss.
        shutil.rmtree(workspace.settings.spool_of(run_id), ignore_errors=True)
    if run.mlflow_run_id is not None:
        try:
            workspace.tracker.trash(run.mlflow_run_id)
        except TrackingError as error:
            workspace.console.warn(f"{error}; run {run.mlflow_run_id} of MLflow stays; delete it there")
    return run


def rename(workspace: Workspace, scale: str, new: str, *, family: str | None = None) -> list[Run]:
    """Give every run of a scale another scale's name; return them as they are now.

    Commands under the new name resume them. MLflow shows them under the new name.

    Raises:
        UsageError: no run is of that scale, several families have it, the new name is none, or the new scale has one of
            these runs already.
        LeaseHeldError: a process is extracting one of them.
        ReadOnlyError: the home cannot be written.
    """
    safe_name(new, "scale")
    workspace.require_writable()
    database = workspace.database
    with database.transaction() as connection:
        of_scale = [run for run in list_runs(connection) if run.scale == scale]
        runs = [get_run(connection, run.run_id) for run in of_scale if family in (None, run.family)]
    families = sorted({run.family for run in runs})
    if not runs:
        raise UsageError(f"no run is of scale {scale!r}; list them with 'vlmprobe runs'")
    if len(families) > 1:
        raise UsageError(f"scale {scale} is in families {', '.join(families)}; choose one with --family")
    training = load_catalog().training_of(new)
    with ExitStack() as stack:
        for run in runs:
            stack.enter_context(hold_lease(database.path, run.run_key))
        with database.transaction() as connection:
            for run in runs:
                rename_run(connection, run, new, training)
            renamed = [get_run(connection, run.run_id) for run in runs]
    for run in renamed:
        if run.mlflow_run_id is not None:
            try:
                workspace.tracker.rename(run)
            except TrackingError as error:
                workspace.console.warn(f"{error}; MLflow shows {run.name} under its old name")
    return renamed
