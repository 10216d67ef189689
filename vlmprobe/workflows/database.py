"""Maintains the database: its schema, its integrity and its backups."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vlmprobe.errors import DatabaseError, UsageError
from vlmprobe.settings import Settings
from vlmprobe.store.backup import copy_database
from vlmprobe.store.checks import CheckResult, run_checks
from vlmprobe.store.migrate import current_revision, require_any_schema, upgrade
from vlmprobe.store.revision import SCHEMA_REVISION
from vlmprobe.workflows.runs import find_listed

if TYPE_CHECKING:
    from pathlib import Path

    from vlmprobe.workspace import Workspace

__all__ = [
    "CheckResult",
    "back_up",
    "check_database",
    "copy_to",
    "database_revision",
    "make_reader",
    "make_writer",
    "upgrade_database",
]


def upgrade_database(workspace: Workspace) -> tuple[str | None, str]:
    """Create or upgrade the database; return the revision before and after.

    Raises:
        ReadOnlyError: the home cannot be written.
    """
    workspace.require_writable()
    return upgrade(workspace.unchecked_database)


def database_revision(workspace: Workspace) -> tuple[str | None, str]:
    """Return the database's revision and the one this version needs.

    Raises:
        DatabaseError: there is no database.
    """
    database = workspace.unchecked_database
    if not database.exists():
        raise DatabaseError(f"no database at {database.name}; create one with 'vlmprobe db upgrade'")
    with database.transaction(write=False) as connection:
        return current_revision(connection), SCHEMA_REVISION


def back_up(workspace: Workspace, target: Path) -> Path:
    """Copy the database, as it is between two transactions, into a new file.

    Raises:
        UsageError: there is such a file already, or no folder for it.
        DatabaseError: there is no database, or it is not ours. One of an earlier version is copied, too.
    """
    database = workspace.unchecked_database
    require_any_schema(database)
    return copy_database(database, target)


def copy_to(workspace: Workspace, source: str, target: str) -> dict[str, int]:
    """Copy every row from one database into an empty one; return table -> rows.

    Args:
        workspace: paths that are relative to a home, and shards of a Postgres database, are of this one.
        source: a DuckDB file, or ``postgresql://...``.
        target: the same; it may not be there yet.

    Raises:
        UsageError: they are one, the source is not there, or the target holds rows.
        DatabaseError: the source is none of ours, or did not arrive as it is.
        StaleSchemaError: the source has the schema of another version.
    """
    from vlmprobe.store.copying import copy_rows
    from vlmprobe.store.open import open_database

    read, written = (_settings(workspace, place) for place in (source, target))
    if read.database_name == written.database_name:
        raise UsageError(f"{read.database_name} is both the source and the target; name two databases")
    if not read.is_postgres and not read.database_path.is_relative_to(read.home):
        # What it keeps relative is relative to a home of its own.
        read = replace(read, home=read.database_path.parent)
    warn = workspace.console.warn
    return copy_rows(open_database(read, warn=warn), open_database(written, warn=warn))


def _settings(workspace: Workspace, place: str) -> Settings:
    """Return the settings with a database as ``VLMPROBE_DATABASE_URL`` would name it."""
    named = {"VLMPROBE_DATABASE_URL": place, "VLMPROBE_HOME": str(workspace.settings.home)}
    return replace(Settings.load(environ=named), store_root=workspace.settings.store_root)


def make_reader(workspace: Workspace, name: str) -> list[str]:
    """Let a Postgres role read the database; return what its owner has to know.

    Raises:
        UsageError: the database is a DuckDB file, or the name is none for a role.
        DatabaseError: our role may not do that.
    """
    from vlmprobe.store.roles import grant_reader

    return grant_reader(workspace.database, name)


def make_writer(workspace: Workspace, name: str) -> list[str]:
    """Let a Postgres role write rows, but not change the schema; return what its owner has to know.

    Raises:
        UsageError: the database is a DuckDB file, or the name is none for a writer.
        DatabaseError: our role may not do that.
    """
    from vlmprobe.store.roles import grant_writer

    return grant_writer(workspace.database, name)


def check_database(workspace: Workspace, run: str | None = None) -> list[CheckResult]:
    """Run every check; see :func:`vlmprobe.store.checks.run_checks`.

    Args:
        workspace: the home.
        run: the id of a run, or the beginning or end of it: only what the run rests on is checked.

    Raises:
        DatabaseError: there is no database, or it is not current.
        UsageError: there is no such run.
    """
    run_id = None if run is None else find_listed(workspace, run).run_id
    with workspace.database.transaction(write=False) as connection:
        return run_checks(connection, run_id)
