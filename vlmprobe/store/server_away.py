"""A Postgres server that goes away while we work: it is waited for, and what was under way is done again."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, TypeVar

from vlmprobe.errors import ConnectionLostError, VlmprobeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from vlmprobe.store.engine import Database

__all__ = ["PATIENCE_S", "Absence", "retried"]

#: A restart of the server, or of its machine, takes less.
PATIENCE_S = 120.0
_PAUSE_S = 0.5

_Result = TypeVar("_Result")


class Absence:
    """How long a server has been away, as all threads of this process see it."""

    def __init__(self, name: str, warn: Callable[[str], None] | None = None) -> None:
        """Begin with a server that has not answered yet.

        Args:
            name: what messages call the database.
            warn: receives one line when the server goes away.
        """
        self._name, self._warn = name, warn
        self._lock = threading.Lock()
        self._answered = False
        self._since: float | None = None

    def end(self) -> None:
        """Note that the server answers."""
        with self._lock:
            self._answered, self._since = True, None

    def wait(self, error: VlmprobeError) -> None:
        """Wait a moment before the next attempt to connect.

        Args:
            error: why the last one failed.

        Raises:
            VlmprobeError: the error itself, if the server never answered, so that its address may be wrong; or one
                that says that it has been away for too long.
        """
        now = time.monotonic()
        with self._lock:
            if not self._answered:
                raise error
            begins = self._since is None
            since = self._since = now if self._since is None else self._since
        if now - since > PATIENCE_S:
            raise VlmprobeError(
                f"{error}; waited {PATIENCE_S:.0f} s for it; finished work is kept; run the same command again when "
                "the server is back"
            ) from error
        if begins and self._warn is not None:
            self._warn(
                f"{error}; trying again for up to {PATIENCE_S:.0f} s; an extraction goes on meanwhile: its shards wait "
                "in the spool, and their rows follow"
            )
        time.sleep(_PAUSE_S)


def retried(database: Database, work: Callable[[Connection], _Result], *, write: bool = True) -> _Result:
    """Run a transaction, and again if the server goes away in the middle of it.

    Args:
        database: where.
        work: called with the connection. It may be done when we do not learn of it, so that doing it twice must
            come to the same.
        write: see :meth:`vlmprobe.store.engine.Database.transaction`.

    Raises:
        ConnectionLostError: it went away again and again for as long as anyone waits for it.
    """
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            with database.transaction(write=write) as connection:
                return work(connection)
        except ConnectionLostError:
            if time.monotonic() > until:
                raise
        time.sleep(_PAUSE_S)
