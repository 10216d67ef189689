"""Reading the database: ad-hoc SQL, the queries that ship with vlmprobe, and the list of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmprobe.store.engine import Database
from vlmprobe.store.queries import list_queries, load_query
from vlmprobe.store.sandbox import Table, run_sql

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmprobe.settings import Settings
    from vlmprobe.workspace import Console

__all__ = ["all_runs", "ask", "ask_query", "query_list", "query_text"]


def ask(
    settings: Settings, console: Console, sql: str, *, timeout_s: float = 60.0, max_rows: int = 1_000_000
) -> Table:
    """Run one SELECT or EXPLAIN in the sandbox.

    Raises:
        DatabaseError: there is no database, or it is not current.
        UsageError: the SQL is wrong or does more than read.
    """
    database = Database(settings.database_path, tell=console.warn)
    return run_sql(database, sql, timeout_s=timeout_s, max_rows=max_rows, tell=console.warn)


def ask_query(settings: Settings, console: Console, name: str, parameters: Mapping[str, str]) -> Table:
    """Run one of the shipped queries.

    Raises:
        UsageError: no query has this name, or a parameter is unknown, missing or of another type.
    """
    query = load_query(name)
    bound = query.bind(parameters)
    database = Database(settings.database_path, tell=console.warn)
    return run_sql(database, query.sql, bound, tell=console.warn)


def query_list() -> list[dict[str, str]]:
    """Describe every shipped query."""
    return [
        {
            "query": query.name,
            "question": query.question,
            "parameters": ", ".join(_describe(p.name, p.default) for p in query.parameters),
        }
        for query in list_queries()
    ]


def query_text(name: str) -> str:
    """Return the SQL of one shipped query."""
    return load_query(name).sql


def all_runs(settings: Settings, console: Console) -> list[dict[str, Any]]:
    """Return every run with its counts, oldest first.

    Raises:
        DatabaseError: there is no database, or it is not current.
    """
    # Here, since they load SQLAlchemy: twice as long as all that ad-hoc SQL needs.
    from vlmprobe.store.migrate import require_schema
    from vlmprobe.store.runs import list_runs

    database = Database(settings.database_path, tell=console.warn)
    require_schema(database)
    with database.transaction() as connection:
        return list_runs(connection)


def _describe(name: str, default: str | None) -> str:
    return name if default is None else f"[{name}={default}]"
