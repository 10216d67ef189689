"""A Postgres role that may read the tables and views of vlmprobe, and nothing else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vlmprobe.errors import DatabaseError, UsageError, first_line
from vlmprobe.store.postgres_store import PostgresStore, connect
from vlmprobe.store.schema import Base

if TYPE_CHECKING:
    from vlmprobe.store.engine import Database

__all__ = ["grant_reader"]

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_VIEWS_SQL = "SELECT table_name FROM information_schema.views WHERE table_schema = current_schema()"
#: Limits of the role; whoever connects can lower the others' cost with them, but a query can raise some for itself.
_LIMITS = (
    "SET default_transaction_read_only = on",
    "SET statement_timeout = '1h'",
    "SET idle_in_transaction_session_timeout = '60s'",
    "SET work_mem = '64MB'",
    "CONNECTION LIMIT 16",
)
#: Only a superuser may set it: temporary files on the server's disk, of each session.
_DISK_LIMIT = "SET temp_file_limit = '4GB'"


def grant_reader(database: Database, name: str) -> list[str]:
    """Let a role read our tables and views, and make it if it is not there; return what its owner has to know.

    Repeating it grants what a newer schema has added.

    Raises:
        UsageError: the database is no Postgres, or the name is none for a role.
        DatabaseError: our role may not do that; the message repeats what the server says.
    """
    if not isinstance(database, PostgresStore):
        raise UsageError(
            f"{database.name} is a DuckDB file, which has no roles; 'vlmprobe sql' only reads it anyway"
        )
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name[:40]!r} is no name for a role; use lower-case letters, digits and _")
    database.require()
    import psycopg
    from psycopg import errors, sql

    role = sql.Identifier(name)
    notes = []
    try:
        with connect(database.url) as session:
            if session.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone() is None:
                session.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
                notes.append(
                    f"role {name} is new and has no password; set one in psql with: \\password {name}"
                )
            for limit in _LIMITS:
                session.execute(sql.SQL("ALTER ROLE {} ").format(role) + sql.SQL(limit))
            found = session.execute("SELECT current_schema(), current_database()").fetchone()
            schema, ours = (sql.Identifier(str(part)) for part in found or ("public", ""))
            session.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(ours, role))
            session.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, role))
            # Ours by name: others may keep tables of their own in this schema.
            views = [str(view) for (view,) in session.execute(_VIEWS_SQL)]
            for table in ("alembic_version", *sorted(Base.metadata.tables), *views):
                session.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(sql.Identifier(table), role))
            session.commit()
            try:
                session.execute(sql.SQL("ALTER ROLE {} ").format(role) + sql.SQL(_DISK_LIMIT))
            except errors.InsufficientPrivilege:
                session.rollback()
                notes.append(
                    f"only a superuser can limit its temporary files: ALTER ROLE {name} {_DISK_LIMIT}"
                )
    except psycopg.Error as error:
        raise DatabaseError(
            f"{database.name}: {first_line(error)}; ask its owner to run this command"
        ) from None
    return notes
