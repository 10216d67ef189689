"""Opens the database that the settings name: a DuckDB file, or Postgres for a team."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from vlmprobe.settings import Settings
    from vlmprobe.store.engine import Database

__all__ = ["open_database"]


def open_database(settings: Settings, *, warn: Callable[[str], None] | None = None) -> Database:
    """Return the database of a home; nothing is opened yet.

    Args:
        settings: name the database and the home.
        warn: receives one line when another program makes us wait.

    Raises:
        UsageError: it is Postgres, and the package that speaks to it is not installed.
    """
    if settings.is_postgres:
        from vlmprobe.store.postgres_store import PostgresStore

        database: Database = PostgresStore(settings.database_url, home=settings.home, warn=warn)
    else:
        from vlmprobe.store.duckdb_store import DuckDBStore

        database = DuckDBStore(settings.database_path, home=settings.home, warn=warn)
    database.places = replace(database.places, root=settings.store_root)
    return database
