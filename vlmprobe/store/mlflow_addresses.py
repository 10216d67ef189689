"""Mends the addresses in MLflow's own SQLite store of a home that was moved or copied.

MLflow keeps the whole address of each artifact folder. In a copy of a home these lead to the original, where MLflow
would go on writing. vlmprobe creates an experiment with the home's ``mlartifacts`` as its address, which MLflow itself
never does, so such an address in another folder is that of the home's former place.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from vlmprobe.store.places import local_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["former_artifacts", "mend_addresses"]

#: Where addresses are: table, column, and which rows. Other versions of MLflow may lack some of them.
_COLUMNS = (
    ("experiments", "artifact_location", ""),
    ("runs", "artifact_uri", ""),
    ("logged_models", "artifact_location", ""),
    ("model_versions", "source", ""),
    ("model_versions", "storage_location", ""),
    ("trace_tags", "value", " AND key = 'mlflow.artifactLocation'"),
)
_TIMEOUT_S = 30.0


def former_artifacts(store: Path, artifacts: Path) -> list[Path]:
    """Return the folders outside of this home in which MLflow would look for the home's artifacts.

    Args:
        store: MLflow's SQLite file; it is only read.
        artifacts: where the artifacts of this home are.

    Raises:
        sqlite3.Error: the file cannot be read.
    """
    # The rest of an address in SQLite's own form is a query; as_uri() writes a path so that it is none.
    with closing(sqlite3.connect(f"{store.as_uri()}?mode=ro", uri=True, timeout=_TIMEOUT_S)) as connection:
        return list(dict.fromkeys(folder for _, folder in _former(connection, artifacts)))


def mend_addresses(store: Path, artifacts: Path) -> list[Path]:
    """Let every address that led to the home's former place lead to this one; return the former places.

    Args:
        store: MLflow's SQLite file.
        artifacts: where the artifacts of this home are.

    Raises:
        sqlite3.Error: the file cannot be read or written.
    """
    if not (former := former_artifacts(store, artifacts)):
        return []
    with closing(sqlite3.connect(store, timeout=_TIMEOUT_S)) as connection, connection:
        for location, folder in list(_former(connection, artifacts)):
            # MLflow extends the address as it was given, so that every form of it may be found.
            for old in dict.fromkeys((location.rstrip("/"), folder.as_uri(), str(folder))):
                _replace(connection, old, artifacts.as_uri() if old.startswith("file:") else str(artifacts))
    return former


def _former(connection: sqlite3.Connection, artifacts: Path) -> Iterator[tuple[str, Path]]:
    """Yield the address and the folder of each experiment that this home made in its former place."""
    if not _columns(connection, "experiments"):
        return
    rows = connection.execute("SELECT experiment_id, artifact_location FROM experiments").fetchall()
    for experiment_id, location in rows:
        folder = local_path(location or "")
        if folder is None or folder.name != artifacts.name or not folder.is_absolute() or folder == artifacts:
            continue
        runs = connection.execute("SELECT run_uuid FROM runs WHERE experiment_id = ?", (experiment_id,))
        names = [name for (name,) in runs]
        # Another home may log to this store on purpose: its artifacts are where it says, and not here.
        if any(_is_there(artifacts / name) for name in names) or not any(
            _is_there(folder / name) for name in names
        ):
            yield location, folder


def _is_there(folder: Path) -> bool:
    try:
        return folder.exists()
    except OSError:
        return False  # a former place that this user may not look into is as good as gone


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")}


def _replace(connection: sqlite3.Connection, old: str, new: str) -> None:
    for table, column, which in _COLUMNS:
        if column in _columns(connection, table):
            connection.execute(
                f"UPDATE {table} SET {column} = :new || substr({column}, length(:old) + 1) "  # noqa: S608 - our own names
                f"WHERE ({column} = :old OR substr({column}, 1, length(:old) + 1) = :old || '/'){which}",
                {"old": old, "new": new},
            )
