"""Reads the database: ad-hoc SQL, the queries that ship with vlmprobe, and the list of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmprobe.store.ad_hoc import Table, ask
from vlmprobe.store.queries import (
    COMPARABLE_SQL,
    SCALES_SQL,
    check_comparable,
    check_scales,
    list_queries,
    load_query,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmprobe.store.listed_runs import ListedRun
    from vlmprobe.workspace import Workspace

__all__ = ["all_runs", "query_by_name", "query_list", "query_sql", "query_text"]


def query_sql(workspace: Workspace, sql: str, *, timeout_s: float = 60.0, max_rows: int = 1_000_000) -> Table:
    """Run one SELECT or EXPLAIN in the sandbox.

    Raises:
        DatabaseError: there is no database, or it is not current.
        UsageError: the SQL is wrong or does more than read.
    """
    table = _ask(workspace, sql, None, timeout_s=timeout_s, max_rows=max_rows)
    if workspace.settings.is_postgres and workspace.settings.reader_url is None:
        workspace.console.warn(
            "this SQL ran with the rights of the role that writes, in a transaction that only reads; make a role that "
            "may only read with 'vlmprobe db grant-reader', and name it in VLMPROBE_READER_URL"
        )
    return table


def _ask(
    workspace: Workspace,
    sql: str,
    parameters: Mapping[str, Any] | None,
    *,
    timeout_s: float = 60.0,
    max_rows: int = 1_000_000,
) -> Table:
    return ask(
        workspace.unchecked_database,
        sql,
        parameters,
        reader_url=workspace.settings.reader_url,
        timeout_s=timeout_s,
        max_rows=max_rows,
        warn=workspace.console.warn,
    )


def query_by_name(workspace: Workspace, name: str, parameters: Mapping[str, str]) -> Table:
    """Run one of the shipped queries.

    Raises:
        UsageError: no query has this name, a parameter is unknown, missing or of another type, or its runs cannot be
            compared.
    """
    query = load_query(name)
    bound = query.bind(parameters)
    if query.compared:
        run_ids = [bound[name] for name in query.compared]
        given = dict(zip(("first", "second"), run_ids, strict=True))
        found = _ask(workspace, COMPARABLE_SQL, given)
        check_comparable(run_ids, [dict(zip(found.columns, row, strict=True)) for row in found.rows])
    if query.compared_scales:
        given = {"family": bound["family"]}
        found = _ask(workspace, SCALES_SQL, given)
        check_scales(query.scales(bound), [dict(zip(found.columns, row, strict=True)) for row in found.rows])
    return _ask(workspace, query.sql, bound)


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


def all_runs(workspace: Workspace, *, controls: bool = False) -> list[ListedRun]:
    """Return every real run with its counts, oldest first; with ``controls`` the control runs too.

    Raises:
        DatabaseError: there is no database, or it is not current.
    """
    # Imported here because SQLAlchemy takes twice as long to import as everything that ad-hoc SQL needs.
    from vlmprobe.store.listed_runs import list_runs

    with workspace.database.transaction(write=False) as connection:
        return list_runs(connection, controls=controls)


def _describe(name: str, default: str | None) -> str:
    return name if default is None else f"[{name}={default}]"
