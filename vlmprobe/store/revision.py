"""Checks which schema a database has, without importing SQLAlchemy, which is slow to load."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.errors import DatabaseError, StaleSchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = [
    "POSTGRES_TABLES_SQL",
    "REVISION_SQL",
    "SCHEMA_REVISION",
    "TABLES_SQL",
    "check_revision",
    "is_versioned",
]

#: Head of ``migrations/versions``; a constant so that reading commands need not import Alembic.
SCHEMA_REVISION = "0009"

TABLES_SQL = (
    "SELECT table_name FROM duckdb_tables() "
    "WHERE database_name = current_database() AND schema_name = 'main' AND NOT internal ORDER BY table_name"
)
#: For a database that :func:`is_versioned`; no row when it was downgraded to nothing.
REVISION_SQL = "SELECT version_num FROM alembic_version"


#: The same of Postgres, in the schema that a session uses.
POSTGRES_TABLES_SQL = (
    "SELECT table_name FROM information_schema.tables "
    "WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' ORDER BY table_name"
)


def is_versioned(tables: Iterable[str], what: str = "DuckDB file") -> bool:
    """Return whether a database is one of ours, judging by its tables; False if it has none yet.

    Args:
        tables: their names.
        what: the database, for the message.

    Raises:
        DatabaseError: it holds tables, but not ours.
    """
    names = sorted(tables)
    if names and "alembic_version" not in names:
        raise DatabaseError(
            f"this {what} is not a vlmprobe database (it holds {', '.join(names[:5])}); use another "
            "with --home or VLMPROBE_DATABASE_URL"
        )
    return bool(names)


def check_revision(where: Path | str, revision: str | None) -> None:
    """Check that a database's revision, None for an empty one, is the one that this version needs.

    Raises:
        StaleSchemaError: it is not; the message names the command that helps.
    """
    if revision == SCHEMA_REVISION:
        return
    if revision is None:
        raise StaleSchemaError(f"{where} is empty; run 'vlmprobe db upgrade'")
    if revision > SCHEMA_REVISION:
        raise StaleSchemaError(
            f"{where} has schema {revision}, newer than this vlmprobe ({SCHEMA_REVISION}); upgrade vlmprobe"
        )
    raise StaleSchemaError(
        f"{where} has schema {revision}, but this vlmprobe needs {SCHEMA_REVISION}; run 'vlmprobe db upgrade'"
    )
