"""Ad-hoc SQL in a child process that can read the database and nothing else.

A read-only DuckDB connection still writes files by COPY and reads any file, so external access, extensions and Python
replacement scans are off and the configuration is locked; memory and time have hard limits.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmprobe.errors import UsageError, VlmprobeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vlmprobe.store.engine import Database

__all__ = ["Table", "run_sql"]

_MEMORY_MIB = 1024
_LOCKED_PAUSE_S = 0.5
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
    "memory_limit": f"{_MEMORY_MIB}MB",
    "threads": "1",
    "temp_directory": "",
    "lock_configuration": "true",
}


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a query; values are JSON's own, anything else is text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool = False


def run_sql(
    database: Database,
    sql: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    timeout_s: float = 60.0,
    max_rows: int = 1_000_000,
    tell: Callable[[str], None] | None = None,
) -> Table:
    """Run one SELECT or EXPLAIN.

    Raises:
        UsageError: the SQL is wrong, or is something else than one SELECT or EXPLAIN.
        VlmprobeError: it took longer than ``timeout_s`` or more memory than it may.
    """
    request = json.dumps(
        {
            "path": str(database.path),
            "sql": sql,
            "parameters": dict(parameters or {}),
            "max_rows": max_rows,
            "cpu_s": int(timeout_s) + 1,
        }
    )
    told = False
    while True:
        with database.exclusively():
            reply = _ask_child(request, timeout_s)
        if reply.get("kind") != "locked":
            break
        if tell is not None and not told:
            tell(f"{reply['error']}; waiting for it")
            told = True
        time.sleep(_LOCKED_PAUSE_S)
    if "error" in reply:
        raise (UsageError if reply["kind"] == "sql" else VlmprobeError)(reply["error"])
    return Table(tuple(reply["columns"]), tuple(tuple(row) for row in reply["rows"]), reply["truncated"])


def _ask_child(request: str, timeout_s: float) -> dict[str, Any]:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "vlmprobe.store.sandbox"],
            input=request,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"kind": "limit", "error": f"the query took longer than {timeout_s:g} s and was stopped"}
    if done.returncode != 0 or not done.stdout:
        return {
            "kind": "limit",
            "error": f"the query was stopped at its limits ({_MEMORY_MIB} MiB of memory, {timeout_s:g} s)",
        }
    reply: dict[str, Any] = json.loads(done.stdout)
    return reply


def _child() -> None:
    """Read a request from stdin, answer on stdout."""
    request = json.load(sys.stdin)
    # Address space, not resident memory: DuckDB and Python map about a gigabyte before any query.
    limit = (_MEMORY_MIB + 3072) * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (request["cpu_s"], request["cpu_s"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    json.dump(_answer(request), sys.stdout)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    import duckdb

    try:
        statements = duckdb.extract_statements(request["sql"])
        if len(statements) != 1 or statements[0].type.name not in {"SELECT", "EXPLAIN"}:
            return {"kind": "sql", "error": "one SELECT or EXPLAIN at a time, please: this face only reads"}
        # EXPLAIN hides what it explains from the statement's type.
        if statements[0].type.name == "EXPLAIN" and not _explains_select(request["sql"]):
            return {"kind": "sql", "error": "EXPLAIN takes a SELECT here: this face only reads"}
        connection = duckdb.connect(request["path"], read_only=True, config=_CONFIG)
    except duckdb.IOException as error:
        text = str(error)
        return {"kind": "locked" if "Could not set lock" in text else "io", "error": text.splitlines()[0]}
    except duckdb.Error as error:
        return {"kind": "sql", "error": _one_line(error)}
    try:
        cursor = connection.execute(statements[0], request["parameters"])
        columns = [column[0] for column in cursor.description]
        rows = cursor.fetchmany(request["max_rows"] + 1)
    except duckdb.OutOfMemoryException as error:
        return {"kind": "limit", "error": _one_line(error)}
    except (duckdb.Error, MemoryError, RuntimeError, ValueError) as error:
        return {"kind": "sql", "error": _one_line(error)}
    truncated = len(rows) > request["max_rows"]
    plain = [[_plain(value) for value in row] for row in rows[: request["max_rows"]]]
    return {"columns": columns, "rows": plain, "truncated": truncated}


def _explains_select(sql: str) -> bool:
    words = [word for word in sql.replace("(", " ").split() if word.lower() not in {"explain", "analyze"}]
    return bool(words) and words[0].lower() in {"select", "with", "from", "values"}


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _one_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:4]) or type(error).__name__


if __name__ == "__main__":
    _child()
