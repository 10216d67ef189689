"""Runs ``queries/checks/``: each statement returns the rows that break a rule.

A check whose header declares ``first_run`` and ``last_run`` is asked about some runs at a time, and its rows are
counted by the database, so that memory does not grow with the number of runs or of faults.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmprobe.store.answers_of_runs import ranges
from vlmprobe.store.queries import list_queries
from vlmprobe.store.rows import fetch, fetch_column

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from vlmprobe.store.queries import Query

__all__ = ["CheckResult", "is_of_kept_rows", "kept_rows_problems", "run_checks"]

#: What DuckDB may take, which otherwise keeps most of the file in memory once it has read it; and what a sort or a
#: hash table of Postgres may take before it goes to disk.
_MEMORY = {"duckdb": "SET memory_limit = '512MB'", "postgresql": "SET LOCAL work_mem = '64MB'"}
_COUNTS_SQL = """
SELECT runs.run_id, coalesce(counts.n_answers, 0) AS n
FROM runs
LEFT JOIN every_run_count AS counts ON runs.run_id = counts.run_id
ORDER BY runs.run_id
"""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one query of ``queries/checks`` found."""

    check: str
    question: str
    rows: int
    """Those that break it."""
    example: str
    """The first of them."""


def run_checks(connection: Connection, run_id: str | None = None) -> list[CheckResult]:
    """Run each query of ``queries/checks``.

    Args:
        connection: a transaction in which nothing else is read.
        run_id: check the rows of this run and the pairs of its dataset alone; those of the whole database when None.
    """
    connection.exec_driver_sql(_MEMORY[connection.dialect.name])
    checks = [query for query in list_queries() if query.name.startswith("checks/")]
    if run_id is None:
        counts = {row["run_id"]: row["n"] for row in fetch(connection, _COUNTS_SQL)}
        parts, dataset_id = list(ranges(counts, counts)), None
    else:
        of_run = "SELECT dataset_id FROM runs WHERE run_id = $id"
        parts, (dataset_id,) = [(run_id, run_id)], fetch_column(connection, of_run, {"id": run_id})
        return _of_one_run(connection, [query for query in checks if query.parameters], run_id, dataset_id)
    return [_result(connection, query, _given(query, parts, dataset_id)) for query in checks]


def _of_one_run(
    connection: Connection, checks: Sequence[Query], run_id: str, dataset_id: str
) -> list[CheckResult]:
    """Ask all checks in one statement: each reads little of large tables, and a database does that side by side."""
    given = {"first_run": run_id, "last_run": run_id, "dataset_id": dataset_id}
    parts = (f"SELECT '{query.name}' AS name, count(*) AS n FROM ({query.sql}) AS broken" for query in checks)  # noqa: S608 - files of ours
    found = {row["name"]: row["n"] for row in fetch(connection, " UNION ALL ".join(parts), given)}
    return [
        CheckResult(
            query.name,
            query.question,
            found[query.name],
            _example(connection, query, given) if found[query.name] else "",
        )
        for query in checks
    ]


def kept_rows_problems(connection: Connection, run_id: str) -> list[CheckResult]:
    """Return what the checks find of the kept rows of one run, which can be made again."""
    checks = [query for query in list_queries() if is_of_kept_rows(query.name)]
    found = [_result(connection, query, _given(query, [(run_id, run_id)], None)) for query in checks]
    return [result for result in found if result.rows]


def is_of_kept_rows(check: str) -> bool:
    """Return whether a check is about rows that can be made again from others."""
    return check.startswith("checks/kept_")


def _given(query: Query, parts: list[tuple[str, str]], dataset_id: str | None) -> Iterator[dict[str, Any]]:
    """Yield the parameters of each time that a check is asked."""
    names = {parameter.name for parameter in query.parameters}
    if "first_run" not in names:
        yield dict.fromkeys(names, dataset_id)
        return
    for first, last in parts:
        yield {"first_run": first, "last_run": last}


def _result(connection: Connection, query: Query, given: Iterator[dict[str, Any]]) -> CheckResult:
    found, example = 0, ""
    for parameters in given:
        (n,) = fetch_column(connection, f"SELECT count(*) FROM ({query.sql}) AS broken", parameters)  # noqa: S608 - a file of ours
        if n and not found:
            example = _example(connection, query, parameters)
        found += n
    return CheckResult(query.name, query.question, found, example)


def _example(connection: Connection, query: Query, given: Mapping[str, Any]) -> str:
    names = {parameter.name for parameter in query.parameters}
    of_query = {name: value for name, value in given.items() if name in names}
    (first,) = fetch(connection, f"SELECT * FROM ({query.sql}) AS broken LIMIT 1", of_query)  # noqa: S608
    return ", ".join(f"{name}={value}" for name, value in first.items())
