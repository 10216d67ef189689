"""Ad-hoc SQL on Postgres: one SELECT in a transaction that reads, by a role that may only read if there is one.

The server decides what a statement is and may do: it is declared as a cursor, over the protocol that takes one
statement, in a read-only transaction that is always rolled back. A superuser's SELECT can do more than read, and takes
back whatever rights were given up before it, so no user's statement is run for one. A child process holds the answer,
so that a large one cannot fill this process's memory, and is killed when it takes too long.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from vlmprobe.errors import StaleSchemaError, VlmprobeError, first_line
from vlmprobe.store.postgres_store import connect
from vlmprobe.store.revision import POSTGRES_TABLES_SQL, REVISION_SQL, check_revision, is_versioned
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
    from collections.abc import Mapping

    import psycopg

    from vlmprobe.store.postgres_store import PostgresStore

__all__ = ["MAY_DO_MORE", "run_postgres_sql"]

_CHILD = (
    "import sys; sys.path.append(sys.argv[1]); from vlmprobe.store.postgres_sandbox import _child; _child()"
)
#: The server stops a query in time; a child that is still there then is killed.
_GRACE_S = 5.0
_ONLY_READS = "only a single SELECT or EXPLAIN is allowed; the database is read-only here"
_TOO_MIGHTY = (
    "the role that asks {name} is a superuser, or may read files, start programs or end sessions of the server, and so "
    "may any SQL; make a role with 'vlmprobe db grant-reader NAME', and name its address in VLMPROBE_READER_URL"
)
_PARAMETER = re.compile(r"\$([A-Za-z_]\w*)")
_CANCELED, _READ_ONLY, _SYNTAX = "57014", "25006", "42601"
#: Out of memory, of disk, of a limit of the role.
_LIMITS = ("53", "54")
_CONNECTION = ("08", "57P")
#: Whether our role, or one that it may become within a SELECT (``set_config('role', ...)``), can read files of the
#: server, start programs there, or end the sessions of others.
MAY_DO_MORE = b"""
SELECT EXISTS (
    SELECT 1 FROM pg_roles
    WHERE pg_has_role(session_user, oid, 'MEMBER') AND (
        rolsuper OR rolname IN (
            'pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program', 'pg_signal_backend'
        )
    )
)
"""


def run_postgres_sql(
    database: PostgresStore,
    sql: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    reader_url: str | None = None,
    timeout_s: float = 60.0,
    max_rows: int = 1_000_000,
) -> Table:
    """Run one SELECT or EXPLAIN; see :func:`vlmprobe.store.sandbox.run_sql`.

    Args:
        database: its schema is read.
        sql: the statement.
        parameters: its ``$name`` parameters, for a statement of our own; None for one of a user's.
        reader_url: the address with the role that may only read; the database's own when None.
        timeout_s: the server stops it after so many seconds.
        max_rows: more are left out.
    """
    check_request(sql, timeout_s, max_rows)
    request = {
        # Over standard input: anyone on this machine can read the arguments of a process.
        "url": reader_url or database.url,
        "name": database.name,
        "sql": sql,
        "parameters": None if parameters is None else dict(parameters),
        "max_rows": max_rows,
        "timeout_s": timeout_s,
    }
    reply = _run_child(json.dumps(request), timeout_s)
    if "error" in reply:
        raise RAISED[reply["kind"]](reply["error"])
    return Table(tuple(reply["columns"]), tuple(tuple(row) for row in reply["rows"]), reply["truncated"])


def _run_child(request: str, timeout_s: float) -> dict[str, Any]:
    too_slow = f"the query took longer than {timeout_s:g} s and was stopped; use 'vlmprobe sql --timeout'"
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and code
            [sys.executable, "-P", "-c", _CHILD, OUR_FOLDER],
            input=request,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s + _GRACE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"kind": "limit", "error": too_slow}
    if done.returncode != 0 or not done.stdout:
        return {
            "kind": "limit",
            "error": f"the query's answer needs more than {MEMORY_MIB} MiB of memory; select less",
        }
    reply: dict[str, Any] = json.loads(done.stdout)
    return reply


def _child() -> None:
    """Read a request from stdin, answer on stdout."""
    import resource

    request = json.loads(sys.stdin.buffer.read())
    limit = (MEMORY_MIB + 3072) * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.stdout.write(reply_within_limits(_answer(request)))


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    import psycopg

    try:
        session = connect(request["url"])
    except VlmprobeError as error:
        return {"kind": "database", "error": str(error)}
    try:
        return _asked(session, request)
    except VlmprobeError as error:
        return {"kind": "schema" if isinstance(error, StaleSchemaError) else "database", "error": str(error)}
    except psycopg.Error as error:
        return _failure(error, request["timeout_s"])
    except MemoryError:
        return {"kind": "limit", "error": f"the query's answer needs more than {MEMORY_MIB} MiB; select less"}
    finally:
        # Whatever the statement did, nothing of it is kept.
        session.close()


def _asked(session: psycopg.Connection[Any], request: dict[str, Any]) -> dict[str, Any]:
    from psycopg import ClientCursor

    milliseconds = max(1, int(request["timeout_s"] * 1000))
    # For this transaction alone: a pooler may give the session to someone else.
    session.execute(
        b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL statement_timeout = %d; "
        b"SET LOCAL lock_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = '60s'; "
        b"SET LOCAL client_connection_check_interval = '2s'" % milliseconds
    )
    tables = [str(name) for (name,) in session.execute(POSTGRES_TABLES_SQL)]
    versioned = is_versioned(tables, "schema of a Postgres database")
    found = session.execute(REVISION_SQL).fetchone() if versioned else None
    check_revision(request["name"], str(found[0]) if found else None)
    sql = request["sql"]
    if request["parameters"] is None and session.execute(MAY_DO_MORE).fetchone() == (True,):
        return {"kind": "sql", "error": _TOO_MIGHTY.format(name=request["name"])}
    if request["parameters"] is not None:
        # Our own statement, whose values are written into it as literals.
        written = _PARAMETER.sub(r"%(\1)s", sql.replace("%", "%%"))
        sql = ClientCursor(session).mogrify(written.encode(), request["parameters"])
    if "\0" in sql:
        # The protocol would end the statement there.
        return {"kind": "sql", "error": "the SQL contains a NUL character; remove it"}
    explain = EXPLAIN.match(sql)
    select = sql[explain.end() :] if explain else sql
    # Extended protocol: a second statement is an error. What is no SELECT or VALUES cannot be declared.
    _execute(session, f"DECLARE vlmprobe_answer NO SCROLL CURSOR FOR {select}")
    if explain:
        analyze = "ANALYZE, " if explain["analyze"] else ""
        result = _execute(session, f"EXPLAIN ({analyze}FORMAT TEXT) {select}")
    else:
        result = _execute(session, f"FETCH FORWARD {request['max_rows'] + 1} FROM vlmprobe_answer")
    rows = _rows(session, result)
    columns = distinct_names([(result.fname(place) or b"").decode() for place in range(result.nfields)])
    truncated = len(rows) > request["max_rows"]
    return {"columns": columns, "rows": rows[: request["max_rows"]], "truncated": truncated}


def _execute(session: psycopg.Connection[Any], sql: str) -> Any:
    """Run one statement over the extended protocol."""
    from psycopg import errors
    from psycopg.pq import ExecStatus

    result = session.pgconn.exec_params(sql.encode(), None)
    if result.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
        raise errors.error_from_result(result, encoding="utf-8")
    return result


def _rows(session: psycopg.Connection[Any], result: Any) -> list[list[Any]]:
    from psycopg.adapt import Transformer

    from vlmprobe.store.postgres_rows import read_as_duckdb_does

    transformer = Transformer(session)
    read_as_duckdb_does(transformer.adapters)
    transformer.set_pgresult(result)
    return [[plain(value) for value in row] for row in transformer.load_rows(0, result.ntuples, tuple)]


def _failure(error: psycopg.Error, timeout_s: float) -> dict[str, Any]:
    state = error.sqlstate or "08"
    if state == _CANCELED:
        text = f"the query took longer than {timeout_s:g} s and was stopped; use 'vlmprobe sql --timeout'"
        return {"kind": "limit", "error": text}
    if state.startswith(_LIMITS):
        return {
            "kind": "limit",
            "error": f"the query reached a limit of the server: {first_line(error)}; select less",
        }
    if state.startswith(_CONNECTION):
        return {"kind": "database", "error": first_line(error)}
    if state == _READ_ONLY or (state == _SYNTAX and "multiple commands" in str(error)):
        return {"kind": "sql", "error": _ONLY_READS}
    # Its further lines repeat the statement that was made of the user's.
    return {"kind": "sql", "error": first_line(error)}
