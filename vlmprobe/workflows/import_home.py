"""Imports another home: its runs, with their arrays and metrics, become runs of this one."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.errors import ConflictError, UsageError, VlmprobeError
from vlmprobe.settings import Settings
from vlmprobe.store.artifacts import is_copy, shard_places
from vlmprobe.store.listed_runs import list_runs
from vlmprobe.store.runs import get_run
from vlmprobe.store.transfer import has_run, read_run, write_metrics, write_run
from vlmprobe.whole_file import whole_file
from vlmprobe.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from vlmprobe.store.artifacts import ShardPlace
    from vlmprobe.store.listed_runs import ListedRun

__all__ = ["JoinedRun", "import_home", "is_home"]


@dataclass(frozen=True, slots=True)
class JoinedRun:
    """What became of one run of the other home."""

    run: ListedRun
    state: str
    """``imported``, ``already there``, ``in conflict`` or ``not readable``."""
    why: str = ""

    @property
    def is_missing(self) -> bool:
        """Whether this home does not hold what the other has."""
        return self.state in {"in conflict", "not readable"}


def import_home(
    workspace: Workspace, folder: Path, *, family: str | None = None, scales: tuple[str, ...] = ()
) -> list[JoinedRun]:
    """Copy every run of another home that this one lacks; the other home stays as it is.

    Each run comes with its id, pairs, answers, hidden states, and metrics with the time at which they were
    computed. A run whose key is taken here is numbered as ``--new`` would do. Repeating it changes nothing.

    Args:
        workspace: the home that takes them.
        folder: the other home.
        family: only runs of this family.
        scales: only runs of these scales; empty = all.

    Raises:
        UsageError: the folder is this home, or uses its database.
        ReadOnlyError: this home cannot be written.
        DatabaseError: the folder holds no database, or one of another version.
    """
    other = _open(workspace, folder)
    with other.database.transaction(write=False) as connection:
        runs = [
            run
            for run in list_runs(connection, controls=True)
            if family in (None, run.family) and (not scales or run.scale in scales)
        ]
    workspace.require_writable()
    workspace.create_database()
    joined = []
    with workspace.console.track("importing runs", len(runs)) as advance:
        for listed in runs:
            joined.append(_join(workspace, other, listed))
            advance(1)
    return joined


def is_home(folder: Path) -> bool:
    """Return whether a folder is the home of a study, with a database of its own."""
    return _settings_of(folder).database_path.is_file()


def _settings_of(folder: Path) -> Settings:
    # Its own database: the variables name this home and this home's.
    ours = ("VLMPROBE_HOME", "VLMPROBE_DATABASE_URL")
    return Settings.load(
        folder, environ={name: value for name, value in os.environ.items() if name not in ours}
    )


def _open(workspace: Workspace, folder: Path) -> Workspace:
    settings = _settings_of(folder)
    ours = workspace.settings
    if not ours.is_postgres and settings.database_path.resolve() == ours.database_path.resolve():
        raise UsageError(f"{folder} is this home, {workspace.settings.home}; name another")
    return Workspace(settings, workspace.console)


def _join(workspace: Workspace, other: Workspace, listed: ListedRun) -> JoinedRun:
    try:
        with other.database.transaction(write=False) as connection:
            run = get_run(connection, listed.run_id)
        # Whoever extracts it there would add answers while they are read.
        with other.database.lease(run.run_key):
            return _join_idle(workspace, other, listed)
    except ConflictError as error:
        return JoinedRun(listed, "in conflict", str(error))
    except VlmprobeError as error:
        return JoinedRun(listed, "not readable", str(error))


def _join_idle(workspace: Workspace, other: Workspace, listed: ListedRun) -> JoinedRun:
    database = workspace.database
    with other.database.transaction(write=False) as connection:
        rows, places = read_run(connection, listed.run_id), shard_places(connection, listed.run_id)
    with database.transaction() as connection:
        if has_run(connection, rows):
            same = write_metrics(connection, rows)
            return JoinedRun(listed, "already there", "" if same else "its metrics differ; those here stay")
    # Files first: those without rows are found and removed, rows without files are a loss.
    copied = [_copy(workspace, other, place) for place in places]
    with database.transaction() as connection:
        key = write_run(connection, rows, dict(copied))
    if rows.is_complete:
        with database.transaction(write=False) as connection:
            run = get_run(connection, listed.run_id)
        workspace.deliver(run)
    number = key.partition("#")[2]
    taken = f"this home has a run with the same settings; this one is number {number}"
    return JoinedRun(listed, "imported", taken if key != rows.run["run_key"] else "")


def _copy(workspace: Workspace, other: Workspace, place: ShardPlace) -> tuple[int, Path]:
    """Copy a shard into the spool, from wherever the other home has it; its hash is checked."""
    target = workspace.settings.spool_of(place.run_id) / place.path.name
    target.parent.mkdir(parents=True, exist_ok=True)
    source = other.storage.fetch(place)
    with whole_file(target) as partial:
        shutil.copyfile(source, partial)
        if not is_copy(place, partial):
            raise VlmprobeError(f"{source} changed while it was copied; try again")
    return place.number, target
