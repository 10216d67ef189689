"""Creates and upgrades the schema with Alembic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from vlmprobe.errors import DatabaseError, StaleSchemaError
from vlmprobe.resources import migrations_folder
from vlmprobe.store.schema import SCHEMA_REVISION

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from vlmprobe.store.engine import Database

__all__ = ["current_revision", "ensure_schema", "require_schema", "upgrade"]


def current_revision(connection: Connection) -> str | None:
    """Return the revision of an open database; None when it is empty.

    Raises:
        DatabaseError: it holds tables, but not ours.
    """
    tables = set(inspect(connection).get_table_names())
    if "alembic_version" in tables:
        row = connection.execute(text("SELECT version_num FROM alembic_version")).first()
        return str(row[0]) if row else None
    if tables:
        listed = ", ".join(sorted(tables)[:5])
        raise DatabaseError(
            f"this DuckDB file is not a vlmprobe database (it holds {listed}); name another with --home "
            "or VLMPROBE_DATABASE_URL"
        )
    return None


def upgrade(database: Database) -> tuple[str | None, str]:
    """Bring a database to this version's schema; return the revision before and after.

    Raises:
        StaleSchemaError: a newer vlmprobe made it.
    """
    with database.transaction() as connection:
        before = current_revision(connection)
        if before is not None and before > SCHEMA_REVISION:
            _check(database, before)
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
            _check(database, revision)


def require_schema(database: Database) -> None:
    """Check that a database exists and is current, for commands that only read.

    Raises:
        DatabaseError: there is no database, or it is not ours.
        StaleSchemaError: it has another revision.
    """
    if not database.exists():
        raise DatabaseError(
            f"no database at {database.path}; make one with 'vlmprobe demo' or 'vlmprobe extract', "
            "or name another with --home"
        )
    with database.transaction() as connection:
        revision = current_revision(connection)
    _check(database, revision)


def _check(database: Database, revision: str | None) -> None:
    if revision == SCHEMA_REVISION:
        return
    if revision is None:
        raise StaleSchemaError(f"{database.path} is empty; run 'vlmprobe db upgrade'")
    if revision > SCHEMA_REVISION:
        raise StaleSchemaError(
            f"{database.path} has schema {revision}, newer than this vlmprobe ({SCHEMA_REVISION}); upgrade vlmprobe"
        )
    raise StaleSchemaError(
        f"{database.path} has schema {revision}, this vlmprobe needs {SCHEMA_REVISION}; run 'vlmprobe db upgrade'"
    )


def _run_alembic(connection: Connection) -> None:
    # DuckDB's implementation registers itself when Alembic was imported first; here the engine came first.
    import duckdb_sqlalchemy.alembic_impl  # noqa: F401
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
