"""Creates and upgrades the schema with Alembic."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from vlmprobe.resources import migrations_folder
from vlmprobe.store.foreign_sql import DEFINITIONS_SQL, check_definitions
from vlmprobe.store.revision import (
    POSTGRES_TABLES_SQL,
    REVISION_SQL,
    SCHEMA_REVISION,
    TABLES_SQL,
    check_revision,
    is_versioned,
)
from vlmprobe.store.rows import fetch, fetch_column

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from vlmprobe.store.engine import Database

__all__ = ["current_revision", "ensure_schema", "require_any_schema", "require_schema", "upgrade"]

_Made = TypeVar("_Made")
#: What Postgres says to the second of two that create the same table: duplicate key in its catalog, or table, or view.
_THERE_ALREADY = {"23505", "42P07", "42710"}


def current_revision(connection: Connection) -> str | None:
    """Return the revision of an open database; None when it is empty.

    Raises:
        DatabaseError: it holds tables, but not ours.
    """
    if _is_postgres(connection):
        versioned = is_versioned(
            fetch_column(connection, POSTGRES_TABLES_SQL), "schema of a Postgres database"
        )
    else:
        versioned = is_versioned(fetch_column(connection, TABLES_SQL))
    if not versioned:
        return None
    revisions = fetch_column(connection, REVISION_SQL)
    return str(revisions[0]) if revisions else None


def upgrade(database: Database) -> tuple[str | None, str]:
    """Bring a database to this version's schema; return the revision before and after.

    Raises:
        StaleSchemaError: a newer vlmprobe made it.
    """
    return _unless_made_meanwhile(lambda: _upgrade(database))


def _upgrade(database: Database) -> tuple[str | None, str]:
    with database.transaction() as connection:
        before = current_revision(connection)
        if before is not None and before > SCHEMA_REVISION:
            check_revision(database.name, before)
        if before != SCHEMA_REVISION:
            _run_alembic(connection)
        return before, SCHEMA_REVISION


def ensure_schema(database: Database) -> None:
    """Create the schema in a new file; leave a current one alone.

    Raises:
        StaleSchemaError: the file has another revision.
    """
    _unless_made_meanwhile(lambda: _ensure(database))


def _ensure(database: Database) -> None:
    with database.transaction() as connection:
        revision = current_revision(connection)
        if revision is None:
            _run_alembic(connection)
        else:
            check_revision(database.name, revision)
            _check_definitions(database, connection)


def require_schema(database: Database) -> None:
    """Check that a database exists and is current, for commands that only read.

    Raises:
        DatabaseError: there is no database, or it is not ours, or a view of it does more than read.
        StaleSchemaError: it has another revision.
    """
    database.require()
    with database.transaction(write=False) as connection:
        revision = current_revision(connection)
        check_revision(database.name, revision)
        _check_definitions(database, connection)


def require_any_schema(database: Database) -> None:
    """Check that a database exists and is ours, of any version, for code that does not read its tables.

    Raises:
        DatabaseError: there is none, or it is not ours, or a view of it does more than read.
    """
    database.require()
    with database.transaction(write=False) as connection:
        current_revision(connection)
        _check_definitions(database, connection)


def _unless_made_meanwhile(make: Callable[[], _Made]) -> _Made:
    """Create the schema; if another machine created it at the same time, look again at what is there now."""
    from sqlalchemy.exc import DBAPIError

    try:
        return make()
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) not in _THERE_ALREADY:
            raise
    return make()


def _is_postgres(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"


def _check_definitions(database: Database, connection: Connection) -> None:
    if database.is_postgres:
        # None reads files or runs hidden SQL with more rights than ours.
        return
    rows = fetch(connection, DEFINITIONS_SQL)
    check_definitions(database.name, [(row["name"], row["definition"]) for row in rows])


def _run_alembic(connection: Connection) -> None:
    if not _is_postgres(connection):
        # DuckDB's implementation registers itself only if Alembic was imported before the engine.
        import duckdb_sqlalchemy.alembic_impl  # noqa: F401
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
