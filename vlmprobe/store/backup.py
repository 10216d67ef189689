"""A consistent copy of the database, as a DuckDB file, while other processes work with it."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from vlmprobe.errors import DiskFullError, UsageError
from vlmprobe.paths import expanded
from vlmprobe.store.duckdb_store import DuckDBStore
from vlmprobe.store.rows import fetch, fetch_column

if TYPE_CHECKING:
    from pathlib import Path

    from vlmprobe.store.engine import Database

__all__ = ["copy_database"]


def copy_database(database: Database, target: Path) -> Path:
    """Copy schema and rows, as one transaction sees them, into a new file; return its full path.

    Other vlmprobe processes wait meanwhile. The file gets its final name only once it is complete.

    Raises:
        UsageError: the target is there already, or its folder is not.
        DiskFullError: there is no room for it.
    """
    try:
        target = expanded(target).absolute()
    except RuntimeError:
        raise UsageError(
            f"{target}: this machine has no such user; write ./ before the name of a file"
        ) from None
    if not target.parent.is_dir():
        raise UsageError(f"no folder {target.parent}; create it first")
    _refuse_existing(target)
    # A unique name, so that no existing file is overwritten.
    partial = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        # Create it here first, since the system's error is clearer than DuckDB's.
        partial.touch(exist_ok=False)
        partial.unlink()
        _copy(database, partial)
        # Another backup may exist by now, and a rename overwrites silently: reserve the name first.
        target.touch(exist_ok=False)
        partial.replace(target)
    except FileExistsError:
        _refuse_existing(target)
        raise
    except DiskFullError:
        raise DiskFullError(str(target)) from None
    finally:
        _remove(partial)
    return target


def _refuse_existing(target: Path) -> None:
    if target.exists() or target.is_symlink():
        raise UsageError(f"{target} exists; a backup never overwrites a file; choose another name")


def _copy(database: Database, partial: Path) -> None:
    """Copy through DuckDB, not the file system: closing a second handle would release DuckDB's lock."""
    if not isinstance(database, DuckDBStore):
        from vlmprobe.store.copying import copy_rows

        copied = DuckDBStore(partial)
        # Whole paths stay whole, wherever the file will be.
        copied.places = database.places
        copy_rows(database, copied)
        copied.lock_path.unlink(missing_ok=True)
        _sync(partial)
        return
    if not database.is_writable:
        _copy_read_only(database, partial)
        return
    with database.transaction(other_files=True) as connection:
        (source,) = fetch_column(connection, "SELECT current_database()")
        fetch(connection, f"ATTACH {_quoted(partial)} AS backup_copy")
        fetch(connection, f'COPY FROM DATABASE "{source}" TO backup_copy')
    _sync(partial)


def _sync(partial: Path) -> None:
    with partial.open("rb") as stream:
        os.fsync(stream.fileno())


def _copy_read_only(database: DuckDBStore, partial: Path) -> None:
    """Copy a database that cannot be written; beside one that is opened to read alone, nothing can be created."""
    import duckdb

    with database.exclusively(), duckdb.connect() as connection:
        connection.execute(f"ATTACH {_quoted(database.path)} AS original (READ_ONLY)")
        connection.execute(f"ATTACH {_quoted(partial)} AS backup_copy")
        connection.execute("COPY FROM DATABASE original TO backup_copy")


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _remove(partial: Path) -> None:
    for path in (partial, partial.with_name(partial.name + ".wal")):
        path.unlink(missing_ok=True)
