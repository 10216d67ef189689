"""Opens a DuckDB file for one transaction at a time, so that several processes can share it.

DuckDB lets only one process open a file. Processes of vlmprobe queue on a lock file next to it. A foreign
process, such as a DuckDB shell, ignores that lock; vlmprobe names its PID once and waits (DESIGN 4).
"""

from __future__ import annotations

import re
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from vlmprobe.errors import DatabaseError, DiskFullError, ReadOnlyError, first_line
from vlmprobe.paths import can_write
from vlmprobe.settings import without_password
from vlmprobe.store.engine import NAME_OPTION, file_lock
from vlmprobe.store.places import PLACES_OPTION, Places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sqlalchemy import Connection, Engine

    from vlmprobe.store.parts import Part

__all__ = ["DuckDBStore", "explain_failure"]

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0
_HOLDER = re.compile(r"\(PID (\d+)\)")
#: The system's messages for ENOSPC, EDQUOT and EFBIG, which DuckDB repeats.
_NO_ROOM = ("No space left on device", "Disk quota exceeded", "File too large")


class DuckDBStore:
    """One DuckDB file, opened afresh for each transaction and never held during inference."""

    is_postgres: Literal[False] = False

    def __init__(
        self, path: Path, *, home: Path | None = None, warn: Callable[[str], None] | None = None
    ) -> None:
        """Store the path; nothing is opened yet.

        Args:
            path: the file; its folder need not exist yet.
            home: the home that its paths are relative to; the file's folder when None.
            warn: receives one line when a foreign process makes us wait.
        """
        self.path = path
        home = path.parent if home is None else home
        self.places = Places(home, holds_database=path.is_relative_to(home))
        self._warn = warn
        self._warned: set[str] = set()
        # flock does not exclude threads that share a descriptor, and two opens in one process share an instance.
        self._threads = threading.RLock()
        self._busy = False
        self._engines: dict[tuple[bool, bool], Engine] = {}

    def _engine(self, *, other_files: bool) -> Engine:
        kind = (other_files, self.is_writable)
        if (made := self._engines.get(kind)) is not None:
            return made
        # Imported here: it takes 0.2 s, and commands that query in a child process do not need it.
        from sqlalchemy import URL, create_engine
        from sqlalchemy.pool import NullPool

        config = {
            # Without this DuckDB would try to download an extension for a file that is, say, SQLite's.
            "autoinstall_known_extensions": "false",
            # A view in someone else's database can read and write files as soon as it is queried.
            "enable_external_access": str(other_files).lower(),
        }
        # Not a text: no character of the path may mean anything in an address.
        address = URL.create("duckdb", database=str(self.path))
        arguments = {"config": config, "read_only": not self.is_writable}
        self._engines[kind] = create_engine(
            address,
            poolclass=NullPool,
            connect_args=arguments,
            execution_options={PLACES_OPTION: self.places, NAME_OPTION: self.name},
        )
        return self._engines[kind]

    @property
    def lock_path(self) -> Path:
        """The lock file beside the database."""
        return self.path.with_name(self.path.name + ".lock")

    @property
    def name(self) -> str:
        """The file, as messages name it."""
        return str(self.path)

    def exists(self) -> bool:
        """Whether the file is there."""
        return self.path.exists()

    @property
    def is_writable(self) -> bool:
        """Whether the file can be written, or created; DuckDB keeps a second file beside it meanwhile."""
        return can_write(self.path) and can_write(self.path.parent)

    def require(self) -> None:
        """Check that the file is there, for commands that only read.

        Raises:
            DatabaseError: it is not.
        """
        if not self.exists():
            shown = without_password(str(self.path))
            raise DatabaseError(
                f"no database at {shown}; create one with 'vlmprobe demo' or 'vlmprobe extract', "
                "or use another with --home"
            )

    @contextmanager
    def transaction(self, *, write: bool = True, other_files: bool = False) -> Iterator[Connection]:  # noqa: ARG002
        """Open, run one transaction, close. An exception rolls it back.

        Args:
            write: makes no difference here, since only one process at a time opens the file.
            other_files: allow statements to reference other files; never for queries that read a view.

        Raises:
            DatabaseError: the file is not a DuckDB database or cannot be opened.
            DiskFullError: the disk is full; nothing was written.
            ReadOnlyError: the file or its folder is read-only, and a statement writes.
        """
        try:
            with self._open(other_files=other_files) as connection, connection.begin():
                yield connection
        except Exception as error:
            # Raised by SQLAlchemy or by DuckDB itself, depending on which was called.
            of_database = type(error).__module__.split(".")[0] in {"sqlalchemy", "duckdb", "_duckdb"}
            if of_database and any(words in str(error) for words in _NO_ROOM):
                raise DiskFullError(str(self.path)) from error
            if of_database and not self.is_writable and "read-only mode" in str(error):
                raise ReadOnlyError(str(self.path)) from error
            raise

    def lease(
        self, key: str, *, part: Part | None = None, wait: Callable[[str], None] | None = None
    ) -> AbstractContextManager[None]:
        """Hold the lease of a run key, or of a part; see :func:`vlmprobe.store.lease.hold_lease`."""
        from vlmprobe.store.lease import hold_lease

        return hold_lease(self.path, key, part=part, wait=wait)

    def shard_mark(self, run_id: str) -> str:  # noqa: ARG002
        """Return nothing: only one process at a time writes a run's shards, or those of a part."""
        return ""

    @contextmanager
    def exclusively(self) -> Iterator[Path]:
        """Hold the file's lock without opening it, so that a child process may open it."""
        with self._alone(), file_lock(self.lock_path):
            yield self.path

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._threads:
            if self._busy:
                raise RuntimeError("a thread cannot open a transaction inside another one")
            self._busy = True
            try:
                yield
            finally:
                self._busy = False

    @contextmanager
    def _open(self, *, other_files: bool) -> Iterator[Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatabaseError(
                f"cannot create the folder of {self.path}: {error.strerror}; use another with "
                "--home or VLMPROBE_DATABASE_URL"
            ) from error
        pause = _FIRST_PAUSE_S
        with self._alone():
            while True:
                with file_lock(self.lock_path):
                    connection = self._connect(other_files=other_files)
                    if connection is not None:
                        try:
                            yield connection
                        finally:
                            connection.close()
                        return
                time.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_S)

    def _connect(self, *, other_files: bool) -> Connection | None:
        """Return a connection, or None while a foreign process holds the file."""
        from sqlalchemy.exc import DBAPIError

        try:
            return self._engine(other_files=other_files).connect()
        except DBAPIError as error:
            text = str(error.orig)
            if "Could not set lock" not in text:
                raise DatabaseError(explain_failure(self.path, text)) from error
            self._warn_once(text)
            return None

    def _warn_once(self, text: str) -> None:
        match = _HOLDER.search(text)
        holder = f"process {match.group(1)}" if match else "another process"
        if holder not in self._warned and self._warn is not None:
            self._warned.add(holder)
            self._warn(
                f"{self.path} is in use by {holder}; waiting for it (close that DuckDB session to continue)"
            )


def explain_failure(path: Path, text: str) -> str:
    """Explain to the user why DuckDB cannot open a file; ``text`` is DuckDB's own message."""
    if path.is_file() and path.stat().st_size == 0:
        return f"{path} is an empty file; delete it or use another with --home or VLMPROBE_DATABASE_URL"
    # DuckDB opens SQLite's files, and those of others, by extensions, which are switched off.
    if "not a valid DuckDB database" in text or "sqlite" in text.lower() or "external extensions" in text:
        return f"{path} is not a DuckDB database; use another with --home or VLMPROBE_DATABASE_URL"
    if "is a directory" in text.lower() or path.is_dir():
        return f"{path} is a folder; VLMPROBE_DATABASE_URL needs a file"
    return f"cannot open {path}: {first_line(text)}"
