"""What a Postgres server says of itself and of our role, for ``vlmprobe doctor``."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from vlmprobe.errors import DatabaseError, first_line
from vlmprobe.settings import without_password
from vlmprobe.store.postgres_sandbox import MAY_DO_MORE
from vlmprobe.store.postgres_store import connect
from vlmprobe.store.schema import Base

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy import Connection

__all__ = ["OLDEST", "Rights", "ServerFacts", "server_facts", "shared_homes"]

#: The oldest version whose behavior the tests know.
OLDEST = 15
_ASKS = 5
_CLOCK_SQL = "SELECT CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)"
_SCHEMA_SQL = "SELECT current_schema(), has_schema_privilege(current_schema(), 'CREATE')"
#: Ours by name, and every view: nothing else makes views in our schema.
_RIGHTS_SQL = """
SELECT relname,
    relkind = 'v' AS is_view,
    pg_has_role(relowner, 'USAGE') AS is_owned,
    has_table_privilege(oid, 'SELECT') AS may_read,
    has_table_privilege(oid, 'UPDATE')
        AND (relname = 'alembic_version' OR (has_table_privilege(oid, 'INSERT') AND has_table_privilege(oid, 'DELETE')))
        AS may_write
FROM pg_class
WHERE relnamespace = CAST(current_schema() AS regnamespace)
    AND (relkind = 'v' OR (relkind = 'r' AND relname = ANY(%s)))
ORDER BY relname
"""
_READ_ONLY_SQL = "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on'"
_SHARED_SQL = (
    "SELECT DISTINCT split_part(path, '/', 2) AS home FROM shards WHERE path LIKE 'shared:/%' ORDER BY home"
)


class Rights(StrEnum):
    """What a role may do with our tables."""

    OWNER = "owner"
    """Everything, also upgrade the schema; without tables: create them."""
    WRITER = "writer"
    """Read and write rows."""
    READER = "reader"
    """Read."""
    NONE = "none"
    """Not even that, of some of them."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """One server, seen through one address."""

    version: int
    """The major one."""
    release: str
    """As the server writes it, such as ``15.18``."""
    is_encrypted: bool
    has_tables: bool
    rights: Rights
    may_do_more: bool
    """Whether the role may do more on the server than with tables, so that nobody's SQL is run with it."""
    lacking: tuple[str, ...]
    """Tables and views of ours that the role may not read, or, where it may write some, not write."""
    ahead_s: float
    """How far the clock of this machine is ahead of the server's, in seconds."""
    unsure_s: float
    """How far off that may be: half of the quickest answer's time."""


def server_facts(url: str) -> ServerFacts:
    """Ask a server.

    Raises:
        DatabaseError: it does not let us in, or our role sees no schema.
    """
    with connect(url) as session:
        import psycopg

        try:
            return _facts(session, without_password(url))
        except psycopg.Error as error:
            raise DatabaseError(f"{without_password(url)}: {first_line(error)}") from None


def _facts(session: psycopg.Connection[Any], name: str) -> ServerFacts:
    ahead_s, unsure_s = _clocks(session)
    schema, may_create = session.execute(_SCHEMA_SQL).fetchone() or (None, False)
    if schema is None:
        raise DatabaseError(
            f"{name}: the role may use no schema of its search_path; ask the owner to run 'vlmprobe db grant-writer' "
            "or 'db grant-reader' with its name"
        )
    rights, lacking, has_tables = _rights(session, may_create=bool(may_create))
    return ServerFacts(
        version=session.info.server_version // 10_000,
        release=str(session.info.parameter_status("server_version") or "?").split()[0],
        is_encrypted=bool(session.pgconn.ssl_in_use),
        has_tables=has_tables,
        rights=rights,
        may_do_more=session.execute(MAY_DO_MORE).fetchone() == (True,),
        lacking=lacking,
        ahead_s=ahead_s,
        unsure_s=unsure_s,
    )


def _clocks(session: psycopg.Connection[Any]) -> tuple[float, float]:
    """Return how far our clock is ahead of the server's, and the error bound, from the quickest of some answers."""
    found = []
    for _ in range(_ASKS):
        before, began = time.time(), time.monotonic()
        (theirs,) = session.execute(_CLOCK_SQL).fetchone() or (before,)
        half = (time.monotonic() - began) / 2
        found.append((half, before + half - theirs))
    unsure_s, ahead_s = min(found)
    return ahead_s, unsure_s


def _rights(session: psycopg.Connection[Any], *, may_create: bool) -> tuple[Rights, tuple[str, ...], bool]:
    names = [*sorted(Base.metadata.tables), "alembic_version"]
    rows = session.execute(_RIGHTS_SQL, (names,)).fetchall()
    tables = [(name, owned, read, write) for name, is_view, owned, read, write in rows if not is_view]
    if not any(name == "alembic_version" for name, *_ in tables):
        return (Rights.OWNER if may_create else Rights.NONE), (), False
    unread = tuple(name for name, _, _, read, _ in rows if not read)
    if unread:
        return Rights.NONE, unread, True
    (read_only,) = session.execute(_READ_ONLY_SQL).fetchone() or (False,)
    unwritten = tuple(name for name, _, _, write in tables if not write)
    if read_only or len(unwritten) == len(tables):
        return Rights.READER, (), True
    if unwritten:
        return Rights.WRITER, unwritten, True
    return (Rights.OWNER if all(owned for _, owned, _, _ in tables) else Rights.WRITER), (), True


def shared_homes(connection: Connection) -> list[str]:
    """Return what lies first below the folder that hosts share, of all shards there: homes, or folders of them."""
    from vlmprobe.store.rows import fetch_column

    return [str(home) for home in fetch_column(connection, _SHARED_SQL)]
