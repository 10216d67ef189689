"""Postgres roles beside the owner's: readers, who may read the tables and views of vlmprobe, and writers of rows."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vlmprobe.errors import DatabaseError, UsageError, first_line
from vlmprobe.store.postgres_store import PostgresStore, connect
from vlmprobe.store.schema import Base

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from vlmprobe.store.engine import Database

__all__ = ["VIEWS_SQL", "grant_reader", "grant_writer"]

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
VIEWS_SQL = "SELECT table_name FROM information_schema.views WHERE table_schema = current_schema()"
#: Limits of a reader; whoever connects can lower the others' cost with them, but a query can raise some for itself.
_LIMITS = (
    "SET default_transaction_read_only = on",
    "SET statement_timeout = '1h'",
    "SET idle_in_transaction_session_timeout = '60s'",
    "SET work_mem = '64MB'",
    "CONNECTION LIMIT 16",
)
#: Only a superuser may set it: temporary files on the server's disk, of each session.
_DISK_LIMIT = "SET temp_file_limit = '4GB'"
_IS_READER = "SELECT 'default_transaction_read_only=on' = ANY(rolconfig) FROM pg_roles WHERE rolname = %s"
#: True of the tables' owner and of a superuser as well: a reader's limits would keep them from their work.
_MAY_WRITE = "SELECT has_table_privilege(%s, 'runs', 'INSERT, UPDATE, DELETE')"


def grant_reader(database: Database, name: str) -> list[str]:
    """Let a role read our tables and views, and make it if it is not there; return what its owner has to know.

    Repeating it grants what a newer schema has added.

    Raises:
        UsageError: the database is no Postgres, the name is none for a role, or it is that of an owner or a writer.
        DatabaseError: our role may not do that; the message repeats what the server says.
    """
    with _granting(database, name) as (session, notes):
        from psycopg import errors, sql

        if session.execute(_MAY_WRITE, (name,)).fetchone() == (True,):
            raise UsageError(
                f"role {name} may write, and a reader's transactions are read-only; use another name for a reader"
            )
        role = sql.Identifier(name)
        for limit in _LIMITS:
            session.execute(sql.SQL("ALTER ROLE {} ").format(role) + sql.SQL(limit))
        _grant(session, name, tables="SELECT")
        session.commit()
        try:
            session.execute(sql.SQL("ALTER ROLE {} ").format(role) + sql.SQL(_DISK_LIMIT))
        except errors.InsufficientPrivilege:
            session.rollback()
            notes.append(f"only a superuser can limit its temporary files: ALTER ROLE {name} {_DISK_LIMIT}")
    return notes


def grant_writer(database: Database, name: str) -> list[str]:
    """Let a role read and write our rows, but not change the schema; otherwise like :func:`grant_reader`.

    Raises:
        UsageError: the database is no Postgres, the name is none for a role, or it is that of a reader.
        DatabaseError: our role may not do that; the message repeats what the server says.
    """
    with _granting(database, name) as (session, notes):
        from psycopg import sql

        if session.execute(_IS_READER, (name,)).fetchone() == (True,):
            raise UsageError(
                f"role {name} is a reader (its transactions are read-only); use another name for a writer"
            )
        _grant(session, name, tables="SELECT, INSERT, UPDATE, DELETE")
        # Rows are copied into a temporary table first; who may write takes the writers' lock on alembic_version.
        _, ours = _here(session)
        session.execute(sql.SQL("GRANT TEMPORARY ON DATABASE {} TO {}").format(ours, sql.Identifier(name)))
    return notes


@contextmanager
def _granting(database: Database, name: str) -> Iterator[tuple[psycopg.Connection[Any], list[str]]]:
    """Make a role unless it is there; yield a session to grant in, and the notes for whoever asked."""
    if not isinstance(database, PostgresStore):
        raise UsageError(
            f"{database.name} is a DuckDB file, which has no roles; 'vlmprobe sql' only reads it anyway"
        )
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name[:40]!r} is no name for a role; use lower-case letters, digits and _")
    database.require()
    import psycopg
    from psycopg import sql

    notes: list[str] = []
    try:
        with connect(database.url) as session:
            if session.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone() is None:
                session.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
                notes.append(
                    f"role {name} is new and has no password; set one in psql with: \\password {name}"
                )
            yield session, notes
    except psycopg.Error as error:
        raise DatabaseError(
            f"{database.name}: {first_line(error)}; ask its owner to run this command"
        ) from None


def _grant(session: psycopg.Connection[Any], name: str, *, tables: str) -> None:
    """Let a role connect, and have rights on our tables; of views and the schema's revision only what it needs."""
    from psycopg import sql

    role, (schema, ours) = sql.Identifier(name), _here(session)
    session.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(ours, role))
    session.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, role))
    # Ours by name: others may keep tables of their own in this schema.
    views = [str(view) for (view,) in session.execute(VIEWS_SQL)]
    rights = dict.fromkeys(sorted(Base.metadata.tables), tables) | dict.fromkeys(views, "SELECT")
    rights["alembic_version"] = "SELECT, UPDATE" if "UPDATE" in tables else "SELECT"
    for table, granted in rights.items():
        statement = sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(granted), sql.Identifier(table), role)
        session.execute(statement)


def _here(session: psycopg.Connection[Any]) -> tuple[Any, Any]:
    """Return schema and database of a session, as parts of a statement."""
    from psycopg import sql

    found = session.execute("SELECT current_schema(), current_database()").fetchone()
    schema, ours = (sql.Identifier(str(part)) for part in found or ("public", ""))
    return schema, ours
