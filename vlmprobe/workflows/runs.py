"""Runs: removes one for good, or renames a scale or one run of it."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING

from vlmprobe.errors import TrackingError, UsageError
from vlmprobe.families import load_catalog
from vlmprobe.safe_names import safe_name
from vlmprobe.store.earlier_runs import of_another_checkpoint
from vlmprobe.store.listed_runs import list_runs
from vlmprobe.store.run_edits import delete_run, rename_run
from vlmprobe.store.runs import controls_of, get_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.store.earlier_runs import ScaleCheckpoint
    from vlmprobe.store.listed_runs import ListedRun
    from vlmprobe.store.runs import Run
    from vlmprobe.workspace import Workspace

__all__ = ["controls_serving", "find_listed", "remove", "rename"]

#: Characters of an id from which on it names a run.
_LEAST = 8


def find_listed(workspace: Workspace, run_id: str) -> ListedRun:
    """Return the run of an id, or of its beginning or end (8 characters at least: ids begin with their time).

    Raises:
        UsageError: there is none, or several begin or end so.
    """
    with workspace.database.transaction(write=False) as connection:
        # Controls too: an id names one run, whatever its kind.
        listed = list_runs(connection, controls=True)
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


def controls_serving(workspace: Workspace, run_ids: Sequence[str]) -> list[Run]:
    """Return the control runs of some runs, which go and are renamed with them."""
    with workspace.database.transaction(write=False) as connection:
        return controls_of(connection, run_ids)


def remove(workspace: Workspace, run_id: str) -> list[Run]:
    """Remove a run and its controls for good: rows, then spool; their MLflow runs go to MLflow's trash.

    Returns:
        The run, then its controls.

    Raises:
        UsageError: there is no such run.
        LeaseHeldError: a process is extracting one of them.
        ReadOnlyError: the home cannot be written.
    """
    workspace.require_writable()
    database = workspace.database
    with database.transaction(write=False) as connection:
        # A control says nothing without the run that it serves.
        runs = [get_run(connection, run_id), *controls_of(connection, [run_id])]
    with ExitStack() as stack:
        for run in runs:
            stack.enter_context(database.lease(run.run_key))
        with database.transaction() as connection:
            for run in runs:
                delete_run(connection, run.run_id)
        # After the rows: files without rows are found by 'vlmprobe verify', rows without files are a loss.
        for run in runs:
            shutil.rmtree(workspace.settings.spool_of(run.run_id), ignore_errors=True)
    for run in runs:
        if run.mlflow_run_id is not None:
            try:
                workspace.tracker.trash(run.mlflow_run_id)
            except TrackingError as error:
                workspace.console.warn(f"{error}; run {run.mlflow_run_id} of MLflow stays; delete it there")
    return runs


def rename(
    workspace: Workspace,
    scale: str,
    new: str,
    *,
    family: str | None = None,
    new_checkpoint: bool = False,
) -> list[tuple[ListedRun, Run]]:
    """Give every run of a scale, or one run, another scale's name; return each as it was and as it is now.

    Commands under the new name resume them. MLflow shows them under the new name. Their controls go along.

    Args:
        workspace: the home.
        scale: the scale, or the id of one run as :func:`find_listed` takes it.
        new: the scale's new name.
        family: only runs of this family.
        new_checkpoint: go on although the new scale has runs of another checkpoint.

    Raises:
        UsageError: no run is of that scale or has that id, several families have the scale, the new name is none, or
            the new scale has one of these runs already, or runs of another checkpoint.
        LeaseHeldError: a process is extracting one of them.
        ReadOnlyError: the home cannot be written.
    """
    safe_name(new, "scale")
    workspace.require_writable()
    database = workspace.database
    named = _named(workspace, scale, family)
    families = sorted({run.family for run in named})
    if len(families) > 1:
        raise UsageError(f"scale {scale} is in families {', '.join(families)}; choose one with --family")
    with database.transaction(write=False) as connection:
        runs = [get_run(connection, run.run_id) for run in named]
        # After the real ones, and not among what is returned.
        runs += controls_of(connection, [run.run_id for run in runs])
    training = load_catalog().training_of(new)
    with ExitStack() as stack:
        for run in runs:
            stack.enter_context(database.lease(run.run_key))
        with database.transaction() as connection:
            if not new_checkpoint and (other := of_another_checkpoint(connection, named, new)) is not None:
                raise UsageError(_is_another(families[0], new, *other))
            for run in runs:
                rename_run(connection, run, new, training)
            renamed = [get_run(connection, run.run_id) for run in runs]
    for run in renamed:
        if run.mlflow_run_id is not None:
            try:
                workspace.tracker.rename(run)
            except TrackingError as error:
                workspace.console.warn(f"{error}; MLflow shows {run.name} under its old name")
    return list(zip(named, renamed[: len(named)], strict=True))


def _named(workspace: Workspace, scale: str, family: str | None) -> list[ListedRun]:
    """Return the runs of a scale; of a text that is no scale, the run that has it as its id."""
    with workspace.database.transaction(write=False) as connection:
        listed = [run for run in list_runs(connection) if family in (None, run.family)]
    if of_scale := [run for run in listed if run.scale == scale]:
        return of_scale
    try:
        found = find_listed(workspace, scale)
    except UsageError:
        if any(scale in (run.run_id[: len(scale)], run.run_id[-len(scale) :]) for run in listed):
            raise
    else:
        if found.control is not None:
            raise UsageError(
                f"{scale} is a control; rename the run that it serves, {found.serves}, and it goes along"
            )
        if family in (None, found.family):
            return [found]
    raise UsageError(f"no run is of scale {scale!r} or has it as its id; list them with 'vlmprobe runs'")


def _is_another(family: str, new: str, ours: ScaleCheckpoint, theirs: ScaleCheckpoint) -> str:
    return (
        f"{family} @ {new} is {theirs}, and run {ours.run_id} of scale {ours.scale} is {ours}; give it a name "
        "of its own, or pass --new-checkpoint to have both under this one"
    )
