"""What a database is to everything else: transactions, a lease per run, a name for messages; and locks on files."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sqlalchemy import Connection

    from vlmprobe.store.parts import Part
    from vlmprobe.store.places import Places

__all__ = ["NAME_OPTION", "Database", "file_lock", "name_of"]

#: The execution option of a connection that says what messages call its database.
NAME_OPTION = "vlmprobe_name"

_CANNOT_WRITE = {errno.EROFS, errno.EACCES, errno.EPERM}


class Database(Protocol):
    """A DuckDB file (``duckdb_store.py``) or a Postgres database (``postgres_store.py``); ``open.py`` chooses."""

    places: Places
    """How the paths in it are read and written."""

    @property
    def is_postgres(self) -> bool:
        """Whether it is a Postgres database."""

    @property
    def name(self) -> str:
        """What messages call it: its file, or its address without user and password."""

    @property
    def is_writable(self) -> bool:
        """Whether it can be written."""

    def exists(self) -> bool:
        """Whether there is anything to read."""

    def require(self) -> None:
        """Check that it is there, for commands that only read.

        Raises:
            DatabaseError: it is not.
        """

    def transaction(self, *, write: bool = True) -> AbstractContextManager[Connection]:
        """Run one transaction; an exception rolls it back. A thread has one at a time.

        Args:
            write: let no other process write until it ends, so that what was looked at stays true until it is
                written. Without, it is a snapshot that nothing makes wait.

        Raises:
            DatabaseError: it cannot be opened.
            DiskFullError: the disk is full; nothing was written.
            ReadOnlyError: it cannot be written, and a statement writes.
        """

    def lease(
        self, key: str, *, part: Part | None = None, wait: Callable[[str], None] | None = None
    ) -> AbstractContextManager[None]:
        """Keep every other process off a run, or off a part of it.

        Who has the whole run keeps off those that want a part, and the other way round. Parts exclude each other
        unless they are different ones of equally many.

        Args:
            key: the run's.
            part: which of its parts; None = the whole run.
            wait: wait while another process holds it, after calling this with one line; None = raise at once.

        Raises:
            LeaseHeldError: another process holds it; the message names it.
        """

    def shard_mark(self, run_id: str) -> str:
        """Return what goes into the names of a run's shards, so that those of two holders of its lease differ."""


def name_of(connection: Connection) -> str:
    """Return what messages call the database of a connection; see :attr:`Database.name`."""
    return str(connection.get_execution_options().get(NAME_OPTION, "the database"))


@contextmanager
def file_lock(path: Path, *, wait: bool = True, shared: bool = False) -> Iterator[int | None]:
    """Hold a lock on ``path`` and yield its descriptor; the lock dies with the process.

    It is exclusive, unless it is ``shared`` with others that hold it so.

    It uses flock, which is local to this host. The kernel wakes the next process in the queue without delay.
    In a folder that cannot be written, it yields None; a lock that is there is held nevertheless, since others may
    be able to write.

    Raises:
        BlockingIOError: another process holds it, and ``wait`` is off.
    """
    descriptor, writable = _open_lock(path)
    if descriptor is None:
        yield None
        return
    try:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)
        yield descriptor if writable else None
    finally:
        os.close(descriptor)


def _open_lock(path: Path) -> tuple[int | None, bool]:
    """Open a lock file, to read alone where it cannot be written; return whether it can."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644), True
    except OSError as error:
        if error.errno not in _CANNOT_WRITE:
            raise
    try:
        return os.open(path, os.O_RDONLY), False
    except OSError:
        return None, False
