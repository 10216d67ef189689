"""Creates and upgrades the schema with Alembic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.resources import migrations_folder
from vlmprobe.store.foreign_sql import DEFINITIONS_SQL, check_definitions
from vlmprobe.store.revision import REVISION_SQL, SCHEMA_REVISION, TABLES_SQL, check_revision, is_versioned
from vlmprobe.store.rows import fetch, fetch_column

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from vlmprobe.store.engine import Database

__all__ = ["current_revision", "ensure_schema", "require_any_schema", "require_schema", "upgrade"]


def current_revision(connection: Connection) -> str | None:
    """Return the revision of an open database; None when it is empty.

    Raises:
        DatabaseError: it holds tables, but not ours.
    """
    if not is_versioned(fetch_column(connection, TABLES_SQL)):
        return None
    revisions = fetch_column(connection, REVISION_SQL)
    return str(revisions[0]) if revisions else None


def upgrade(database: Database) -> tuple[str | None, str]:
    """Bring a database to this version's schema; return the revision before and after.

    Raises:
        StaleSchemaError: a newer vlmprobe made it.
    """
    with database.transaction() as connection:
        before = current_revision(connection)
        if before is not None and before > SCHEMA_REVISION:
            check_revision(database.path, before)
        if before != SCHEMA_REVISION:
            _run_alembic(connection)
        return before, SCHEMA_REVISION


def ensure_schema(database: Database) -> None:
    """Create the schema in a new file; leave a current one alone.

    Raises:
        StaleSchemaError: the file has another revision.
    """
    with database.transaction() as connection:
        revision = current_revision(connection)
        if revision is None:
            _run_alembic(connection)
        else:
            check_revision(database.path, revision)
            _check_definitions(database, connection)


def require_schema(database: Database) -> None:
    """Check that a database exists and is current, for commands that only read.

    Raises:
        DatabaseError: there is no database, or it is not ours, or a view of it does more than read.
        StaleSchemaError: it has another revision.
    """
    database.require()
    with database.transaction() as connection:
        revision = current_revision(connection)
        check_revision(database.path, revision)
        _check_definitions(database, connection)


def require_any_schema(database: Database) -> None:
    """Check that a database exists and is ours, of any version, for code that does not read its tables.

    Raises:
        DatabaseError: there is none, or it is not ours, or a view of it does more than read.
    """
    database.require()
    with database.transaction() as connection:
        current_revision(connection)
        _check_definitions(database, connection)


def _check_definitions(database: Database, connection: Connection) -> None:
    rows = fetch(connection, DEFINITIONS_SQL)
    check_definitions(database.path, [(row["name"], row["definition"]) for row in rows])


def _run_alembic(connection: Connection) -> None:
    # DuckDB's implementation registers itself only if Alembic was imported before the engine.
    import duckdb_sqlalchemy.alembic_impl  # noqa: F401
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
