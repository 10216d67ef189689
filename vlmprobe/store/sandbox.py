"""Ad-hoc SQL in a child process that can read the database and nothing else.

A read-only DuckDB connection still writes files by COPY and reads any file, so external access, extensions and Python
replacement scans are off and the configuration is locked; memory and time have hard limits.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmprobe.errors import DatabaseError, StaleSchemaError, first_line
from vlmprobe.store.duckdb_store import explain_failure
from vlmprobe.store.foreign_sql import DEFINITIONS_SQL, REFUSED, REFUSED_WORD, check_definitions
from vlmprobe.store.revision import REVISION_SQL, TABLES_SQL, check_revision, is_versioned
from vlmprobe.store.sql_answers import (
    EXPLAIN,
    MEMORY_MIB,
    OUR_FOLDER,
    RAISED,
    Table,
    check_request,
    distinct_names,
    plain,
    reply_within_limits,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import duckdb

    from vlmprobe.store.duckdb_store import DuckDBStore

__all__ = ["run_sql"]

#: Starts the child without the working directory on its path; a json.py there would be imported and run.
_CHILD = "import sys; sys.path.append(sys.argv[1]); from vlmprobe.store.sandbox import _child; _child()"
_LOCKED_PAUSE_S = 0.5
_ONLY_READS = "only a single SELECT or EXPLAIN is allowed; the database is read-only here"
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
    "memory_limit": f"{MEMORY_MIB}MB",
    "threads": "1",
    "temp_directory": "",
    "lock_configuration": "true",
}


def run_sql(
    database: DuckDBStore,
    sql: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    timeout_s: float = 60.0,
    max_rows: int = 1_000_000,
    warn: Callable[[str], None] | None = None,
) -> Table:
    """Run one SELECT or EXPLAIN on a database with the current schema.

    Raises:
        DatabaseError: there is no database, or it is not current.
        UsageError: the SQL or a limit is wrong, or it is something else than one SELECT or EXPLAIN.
        VlmprobeError: it took longer than ``timeout_s`` or more memory than it may.
    """
    check_request(sql, timeout_s, max_rows)
    database.require()
    request = json.dumps(
        {
            "path": str(database.path),
            "sql": sql,
            "parameters": dict(parameters or {}),
            "max_rows": max_rows,
            "cpu_s": int(timeout_s) + 1,
        }
    )
    warned = False
    while True:
        with database.exclusively():
            reply = _run_child(request, timeout_s)
        if reply.get("kind") != "locked":
            break
        if warn is not None and not warned:
            warn(f"{reply['error']}; waiting for it")
            warned = True
        time.sleep(_LOCKED_PAUSE_S)
    if "error" in reply:
        raise RAISED[reply["kind"]](reply["error"])
    return Table(tuple(reply["columns"]), tuple(tuple(row) for row in reply["rows"]), reply["truncated"])


def _run_child(request: str, timeout_s: float) -> dict[str, Any]:
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and code
            [sys.executable, "-P", "-c", _CHILD, OUR_FOLDER],
            input=request,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        error = f"the query took longer than {timeout_s:g} s and was stopped; use 'vlmprobe sql --timeout'"
        return {"kind": "limit", "error": error}
    if done.returncode != 0 or not done.stdout:
        lines = done.stderr.strip().splitlines()
        if done.returncode == 1 and lines and not lines[-1].startswith("MemoryError"):
            return {"kind": "limit", "error": f"the query's process failed: {lines[-1]}"}
        return {
            "kind": "limit",
            "error": f"the query reached its limits ({MEMORY_MIB} MiB of memory, {timeout_s:g} s); "
            "select less",
        }
    reply: dict[str, Any] = json.loads(done.stdout)
    return reply


def _child() -> None:
    """Read a request from stdin, answer on stdout."""
    # As bytes, whatever encoding the user's terminal has.
    request = json.loads(sys.stdin.buffer.read())
    # Only the reply may go to stdout, whatever a query makes DuckDB print.
    reply = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    # Address space, not resident memory: DuckDB and Python map about a gigabyte before any query.
    limit = (MEMORY_MIB + 3072) * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (request["cpu_s"], request["cpu_s"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with reply:
        reply.write(reply_within_limits(_answer(request)))


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    import duckdb

    path = Path(request["path"])
    try:
        connection = duckdb.connect(str(path), read_only=True, config=_CONFIG)
    except duckdb.Error as error:
        text = str(error)
        if "Could not set lock" in text:
            return {"kind": "locked", "error": first_line(text)}
        return {"kind": "database", "error": explain_failure(path, text)}
    try:
        # In this process; the parent would have to open the database for it first.
        _require_schema(connection, path)
        cursor = connection.execute(_checked(connection, request["sql"]), request["parameters"])
        columns = distinct_names([column[0] for column in cursor.description])
        rows = cursor.fetchmany(request["max_rows"] + 1)
    except DatabaseError as error:
        return {
            "kind": "schema" if isinstance(error, StaleSchemaError) else "database",
            "error": str(error),
        }
    except (duckdb.OutOfMemoryException, MemoryError):
        return {
            "kind": "limit",
            "error": f"the query needs more than {MEMORY_MIB} MiB of memory; select less",
        }
    except (duckdb.Error, RuntimeError, ValueError, TypeError, ArithmeticError) as error:
        return {"kind": "sql", "error": _one_line(error)}
    finally:
        connection.close()
    truncated = len(rows) > request["max_rows"]
    shown = [[plain(value) for value in row] for row in rows[: request["max_rows"]]]
    return {"columns": columns, "rows": shown, "truncated": truncated}


def _require_schema(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    tables = [name for (name,) in connection.execute(TABLES_SQL).fetchall()]
    found = connection.execute(REVISION_SQL).fetchone() if is_versioned(tables) else None
    check_revision(path, str(found[0]) if found else None)
    check_definitions(path, connection.execute(DEFINITIONS_SQL).fetchall())


def _checked(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """Return the SQL to run if it is one SELECT, or one EXPLAIN of a SELECT, that calls nothing refused.

    Raises:
        ValueError: it is something else.
    """
    kind = _kind(sql)
    select, explain = sql, ""
    if kind == "EXPLAIN" and (found := EXPLAIN.match(sql)):
        # The type of an EXPLAIN hides what it explains, and comments could hide it from us. So the SQL to
        # run is rebuilt from the part that was checked.
        select = sql[found.end() :]
        explain = f"EXPLAIN {'ANALYZE ' if found['analyze'] else ''}{found['options'] or ''} "
        if _kind(select) != "SELECT":
            raise ValueError("EXPLAIN needs a SELECT; the database is read-only here")
    elif kind != "SELECT":
        raise ValueError(_ONLY_READS)
    refused = sorted(_called(connection, select) & REFUSED)
    if refused:
        raise ValueError(f"{refused[0]} is not allowed; the database is read-only here")
    return explain + select


def _called(connection: duckdb.DuckDBPyConnection, select: str) -> set[str]:
    """Return the functions that a SELECT calls, as DuckDB itself parses it.

    Looking for their names followed by a parenthesis is not enough: DuckDB also takes nested comments, comments that
    a carriage return ends, and zero-width characters as white space. For a SELECT that DuckDB cannot
    serialize, such as one with a PIVOT, every refused name in its text counts as called.
    """
    # No parameter: the first one makes DuckDB import pandas, which takes a second.
    quoted = select.replace("'", "''")
    row = connection.execute(f"SELECT json_serialize_sql('{quoted}')").fetchone()
    tree = json.loads(row[0]) if row else {"error": True}
    if tree["error"]:
        return {word.lower() for word in REFUSED_WORD.findall(select)}
    called: set[str] = set()
    waiting: list[Any] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            called.add(str(node.get("function_name", "")).lower())
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
    return called


def _kind(sql: str) -> str | None:
    """Return the type of a single statement; None for several or none."""
    import duckdb

    statements = duckdb.extract_statements(sql)
    return str(statements[0].type.name) if len(statements) == 1 else None


def _one_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # DuckDB repeats the statement, which may be of any length.
    return " ".join(lines[:4])[:1000] or type(error).__name__
