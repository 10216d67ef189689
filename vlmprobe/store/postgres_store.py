"""A Postgres database that the machines of a team share: one writer at a time, readers that never wait.

Nothing outlasts a transaction in a session (no setting, no lock, no prepared statement, no table), so that a
pooler between here and the database may hand each transaction another session.
"""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from vlmprobe.errors import (
    ConnectionLostError,
    DatabaseError,
    DiskFullError,
    MissingPackageError,
    ReadOnlyError,
    VlmprobeError,
    first_line,
)
from vlmprobe.settings import without_password
from vlmprobe.store.engine import NAME_OPTION
from vlmprobe.store.places import PLACES_OPTION, Places
from vlmprobe.store.row_lease import LEASES_OPTION, HeldLeases, hold_row_lease
from vlmprobe.store.server_away import Absence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    import psycopg
    from sqlalchemy import Connection, Engine

    from vlmprobe.store.parts import Part

__all__ = ["PostgresStore", "connect"]

_CONNECT_S = 10
#: A process that stopped within a transaction would keep every writer waiting.
_LONGEST_PAUSE = "SET LOCAL idle_in_transaction_session_timeout = '60s'"
_HAS_SCHEMA = "SELECT to_regclass('alembic_version') IS NOT NULL"
#: One writer at a time, as with a DuckDB file: what was looked at stays true until it is written. Readers go on, and
#: who may only read cannot take it (an advisory lock could be taken by anyone).
_WRITER_LOCK = "LOCK TABLE alembic_version IN SHARE ROW EXCLUSIVE MODE"
_READING = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_MAY_WRITE = """
SELECT NOT pg_is_in_recovery() AND current_setting('default_transaction_read_only') = 'off'
    AND CASE
        WHEN to_regclass('alembic_version') IS NULL THEN has_schema_privilege(current_schema(), 'CREATE')
        ELSE has_table_privilege(to_regclass('alembic_version'), 'UPDATE')
    END
"""
_NO_ROOM, _READ_ONLY, _NO_PRIVILEGE = "53100", "25006", "42501"
#: The server stops, starts, or ended the session, for example since this process stood still within a transaction.
_LOST = ("57P", "08", "25P03")


def connect(url: str) -> psycopg.Connection[Any]:
    """Open one session.

    Raises:
        MissingPackageError: psycopg is not installed.
        DatabaseError: there is no such database, or it does not let us in; the message holds no password.
    """
    _require_driver()
    import psycopg

    name = without_password(url)
    try:
        return psycopg.connect(
            url,
            connect_timeout=_CONNECT_S,
            application_name="vlmprobe",
            # A prepared statement would be looked for in a session that a pooler gave to someone else.
            prepare_threshold=None,
        )
    except psycopg.ProgrammingError:
        # Its text repeats parts of the address, of which one may be the password.
        raise DatabaseError(
            "VLMPROBE_DATABASE_URL is not an address of Postgres; write postgresql://user:password@host/database, "
            "with %40 for an @ and %2F for a / in the password"
        ) from None
    except psycopg.Error as error:
        # Of a password with an @, libpq takes what follows for the host.
        reason = re.sub(r"'[^']*@", "'", without_password(first_line(str(error))))
        raise DatabaseError(
            f"cannot connect to {name}: {reason}; check that it runs, its address, and the password in ~/.pgpass"
        ) from None


def _require_driver() -> None:
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise MissingPackageError(
            "a Postgres database needs psycopg; install it with: pip install 'vlmprobe[postgres]'"
        ) from None


class PostgresStore:
    """One schema of a Postgres database: the one that the address or the role names first, ``public`` by default."""

    is_postgres: Literal[True] = True

    def __init__(self, url: str, *, home: Path, warn: Callable[[str], None] | None = None) -> None:
        """Store the address; no connection is made yet.

        Args:
            url: ``postgresql://...``, as libpq reads it.
            home: the home whose shards it refers to; several may share it, so that all paths are whole.
            warn: receives one line when the server is away and we wait for it.
        """
        self._url = url
        self._absence = Absence(self.name, warn)
        self.places = Places(home, holds_database=False)
        self._leases = HeldLeases()
        self._mine = threading.local()
        self._lock = threading.Lock()
        self._made: Engine | None = None
        self._may_write: bool | None = None

    @property
    def name(self) -> str:
        """The address without user and password."""
        return without_password(self._url)

    @property
    def url(self) -> str:
        """The whole address, with any password: never for a message."""
        return self._url

    def _engine(self) -> Engine:
        with self._lock:
            if self._made is None:
                _require_driver()
                from sqlalchemy import create_engine, event

                from vlmprobe.store.postgres_rows import adapt

                self._made = create_engine(
                    "postgresql+psycopg://",
                    creator=lambda: connect(self._url),
                    pool_pre_ping=True,
                    execution_options={
                        PLACES_OPTION: self.places,
                        NAME_OPTION: self.name,
                        LEASES_OPTION: self._leases,
                    },
                )
                event.listen(self._made, "connect", lambda session, _: adapt(session))
            return self._made

    def exists(self) -> bool:
        """Whether it holds tables of ours."""
        return self._ask(_HAS_SCHEMA)

    @property
    def is_writable(self) -> bool:
        """Whether our role may write, as far as its rights on the schema say."""
        if self._may_write is None:
            self._may_write = self._ask(_MAY_WRITE)
        return self._may_write

    def _ask(self, sql: str) -> bool:
        with self._opened() as connection:
            return bool(connection.exec_driver_sql(sql).scalar())

    def require(self) -> None:
        """Check that it holds tables of ours.

        Raises:
            DatabaseError: it does not, or cannot be reached.
        """
        if not self.exists():
            raise DatabaseError(
                f"no tables of vlmprobe at {self.name}; create them with 'vlmprobe db upgrade' or 'vlmprobe extract', "
                "or use another with VLMPROBE_DATABASE_URL"
            )

    @contextmanager
    def transaction(self, *, write: bool = True, patient: bool = True) -> Iterator[Connection]:
        """Run one transaction; see :class:`vlmprobe.store.engine.Database`.

        A writing one waits for the other writer, wherever that runs; a role that may only read gets a reading one.

        Args:
            write: see there.
            patient: wait for a server that answered before and is away now; see :class:`Absence`.

        Raises:
            ConnectionLostError: the server went away meanwhile; whether anything was written is not known.
        """
        write = write and self.is_writable
        with self._alone(), self._opened(patient=patient) as connection:
            driver = _driver(connection)
            if not write:
                driver.execute(_READING)
            else:
                driver.execute(_LONGEST_PAUSE)
                # In an empty schema there is nothing to lock yet; of two that create it, one finds it made.
                if driver.execute(_HAS_SCHEMA).fetchone() == (True,):
                    driver.execute(_WRITER_LOCK)
            yield connection

    def _connect(self, *, patient: bool) -> Connection:
        while True:
            try:
                connection = self._engine().connect()
            except DatabaseError as error:
                if not patient:
                    raise
                self._absence.wait(error)
            else:
                self._absence.end()
                return connection

    @contextmanager
    def _opened(self, *, patient: bool = True) -> Iterator[Connection]:
        from sqlalchemy.exc import DBAPIError

        try:
            with self._connect(patient=patient) as connection, connection.begin():
                yield connection
        except VlmprobeError:
            raise
        except Exception as error:
            origin = error.orig if isinstance(error, DBAPIError) else error
            state = getattr(origin, "sqlstate", None)
            if state == _NO_ROOM:
                raise DiskFullError(self.name) from error
            if state in {_READ_ONLY, _NO_PRIVILEGE}:
                raise ReadOnlyError(
                    self.name, "ask its owner for the right, or use another database"
                ) from error
            if _is_lost(error, origin):
                raise ConnectionLostError(
                    f"the connection to {self.name} was lost; run the same command again"
                ) from error
            raise

    @contextmanager
    def _alone(self) -> Iterator[None]:
        # Another one in this thread would wait for the lock that this one holds.
        if getattr(self._mine, "busy", False):
            raise RuntimeError("a thread cannot open a transaction inside another one")
        self._mine.busy = True
        try:
            yield
        finally:
            self._mine.busy = False

    def lease(
        self, key: str, *, part: Part | None = None, wait: Callable[[str], None] | None = None
    ) -> AbstractContextManager[None]:
        """Hold the lease of a run key, or of a part; see :func:`vlmprobe.store.row_lease.hold_row_lease`."""
        return hold_row_lease(self, self._leases, key, part=part, wait=wait)

    def shard_mark(self, run_id: str) -> str:
        """Return the first letters of the token with which this process holds a run; empty if it does not."""
        held = self._leases.of(run_id)
        return "" if held is None else held.token[:8]

    def close(self) -> None:
        """Close every session."""
        if self._made is not None:
            self._made.dispose()


def _is_lost(error: Exception, origin: object) -> bool:
    """Return whether an error says that the session is gone; some of our SQL goes to the driver itself."""
    import psycopg
    from sqlalchemy.exc import DBAPIError

    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    if not isinstance(origin, psycopg.Error):
        return False
    if origin.sqlstate is None:
        # Not from the server: the socket was closed, before a statement or during it.
        return isinstance(origin, psycopg.OperationalError | psycopg.InterfaceError)
    return origin.sqlstate.startswith(_LOST)


def _driver(connection: Connection) -> psycopg.Connection[Any]:
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101 - an open connection has one
    session: psycopg.Connection[Any] = driver
    return session
