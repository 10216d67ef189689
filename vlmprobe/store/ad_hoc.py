"""Ad-hoc SQL on whatever database a home has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmprobe.store.duckdb_store import DuckDBStore
from vlmprobe.store.sandbox import run_sql
from vlmprobe.store.sql_answers import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vlmprobe.store.engine import Database

__all__ = ["Table", "ask"]


def ask(
    database: Database,
    sql: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    reader_url: str | None = None,
    timeout_s: float = 60.0,
    max_rows: int = 1_000_000,
    warn: Callable[[str], None] | None = None,
) -> Table:
    """Run one SELECT or EXPLAIN that can read the database and nothing else.

    Args:
        database: with the current schema.
        sql: the statement.
        parameters: of a statement of our own: its ``$name`` parameters.
        reader_url: of Postgres: the address with the role that may only read.
        timeout_s: stop it after so many seconds.
        max_rows: leave out what is more.
        warn: receives one line when another program makes us wait.

    Raises:
        DatabaseError: there is no database, or it is not current.
        UsageError: the SQL or a limit is wrong, or it is something else than one SELECT or EXPLAIN.
        VlmprobeError: it took longer than ``timeout_s`` or more memory than it may.
    """
    if isinstance(database, DuckDBStore):
        return run_sql(database, sql, parameters, timeout_s=timeout_s, max_rows=max_rows, warn=warn)
    from vlmprobe.store.postgres_sandbox import run_postgres_sql
    from vlmprobe.store.postgres_store import PostgresStore

    assert isinstance(database, PostgresStore)  # noqa: S101 - there are two kinds
    return run_postgres_sql(
        database, sql, parameters, reader_url=reader_url, timeout_s=timeout_s, max_rows=max_rows
    )
