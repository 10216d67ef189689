"""Ad-hoc SQL: reads the database, and nothing else."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from sqlalchemy import text

from vlmprobe.errors import UsageError, VlmprobeError
from vlmprobe.store import sandbox
from vlmprobe.store.sandbox import Table, run_sql

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def data(study: Any) -> Any:
    """Make a database with two runs."""
    study.run("r1", scale="80k", samples_seen=80_000)
    study.run("r2", scale="2m", samples_seen=2_000_000)
    return study.database


def test_a_select_gives_a_table(data: Any) -> None:
    """Values are JSON's own; times and lists come as text, no data as None."""
    sql = (
        "WITH mine AS (SELECT * FROM runs WHERE scale = $scale) "
        "SELECT scale, samples_seen, dtype, [1, 2] AS l, DATE '2026-01-02' AS d FROM mine"
    )
    assert run_sql(data, sql, {"scale": "80k"}) == Table(
        ("scale", "samples_seen", "dtype", "l", "d"), (("80k", 80000, None, "[1, 2]", "2026-01-02"),)
    )


def test_more_rows_than_wanted_are_cut_and_it_says_so(data: Any) -> None:
    """Exactly as many as wanted are not."""
    assert run_sql(data, "FROM range(4)", max_rows=3) == Table(("range",), ((0,), (1,), (2,)), truncated=True)
    assert not run_sql(data, "FROM range(3)", max_rows=3).truncated


@pytest.fixture(scope="module")
def frozen(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One database for the many statements that change none."""
    path = tmp_path_factory.mktemp("frozen") / "vlmprobe.duckdb"
    shutil.copy(empty_database, path)
    (path.parent / "secret").write_text("key,value\nname,hunter2\n")
    (path.parent / "secret.csv").write_text("key,value\nname,hunter2\n")
    return path


def _ask(path: Path, sql: str) -> dict[str, Any]:
    """Answer as the child does, in this process: a start of Python for each statement would take a minute."""
    return sandbox._answer({"path": str(path), "sql": sql, "parameters": {}, "max_rows": 10})


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1;",
        "-- a comment\nSELECT 1 /* ; COPY */",
        "WITH a AS (SELECT 1 AS i) SELECT * FROM a",
        "FROM runs",
        "VALUES (1)",
        "TABLE runs",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "DESCRIBE accuracy",
        "SHOW TABLES",
        "SUMMARIZE runs",
        "SELECT checkpoint, count(*) FROM runs GROUP BY checkpoint",
        "SELECT config->>'batch_size' FROM runs",
        "SELECT 'a query' AS query, (1)",
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE SELECT count(*) FROM runs",
        "EXPLAIN (FORMAT JSON) SELECT 1",
        "explain /* why */ analyze -- so\n select 1",
        "EXPLAIN WITH a AS (SELECT 1) FROM a",
    ],
)
def test_what_only_reads_is_answered(frozen: Path, sql: str) -> None:
    """However it is written."""
    assert "columns" in _ask(frozen, sql)


ATTACKS = [
    "COPY runs TO '{folder}/out.csv'",
    "COPY (SELECT 1) TO '{folder}/out.parquet' (FORMAT parquet)",
    "COPY runs FROM '{secret}'",
    "EXPORT DATABASE '{folder}/out'",
    "IMPORT DATABASE '{folder}'",
    "ATTACH '{folder}/other.duckdb' AS other",
    "ATTACH ':memory:' AS other",
    "DETACH vlmprobe",
    "USE memory",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{secret}'",
    "PRAGMA enable_profiling",
    "PRAGMA import_database('{folder}')",
    "PRAGMA profiling_output = '{folder}/out.json'",
    "SET threads = 8",
    "SET enable_external_access = true",
    "RESET memory_limit",
    "CALL enable_logging(storage = 'file', storage_path = '{folder}/out')",
    "CALL pragma_version()",
    "CHECKPOINT",
    "VACUUM",
    "BEGIN",
    "CREATE TABLE mine (i INTEGER)",
    "CREATE TEMP TABLE mine AS SELECT 1",
    "CREATE VIEW mine AS SELECT 1",
    "CREATE MACRO mine() AS 1",
    "CREATE PERSISTENT SECRET s (TYPE http)",
    "INSERT INTO runs SELECT * FROM runs",
    "UPDATE runs SET status = 'complete'",
    "DELETE FROM runs",
    "TRUNCATE runs",
    "MERGE INTO runs USING runs AS r ON false WHEN MATCHED THEN DELETE",
    "DROP TABLE runs",
    "ALTER TABLE runs ADD COLUMN mine INTEGER",
    "WITH a AS (SELECT 1) INSERT INTO failures SELECT 'r1', '1', 1, 'E', 'm', now() FROM a",
    "WITH a AS (SELECT 1) DELETE FROM runs",
    "PREPARE q AS DELETE FROM runs",
    "EXECUTE q",
    "SELECT 1; DELETE FROM runs",
    "SELECT 1;; COPY runs TO '{folder}/out.csv'",
    "",
    "-- nothing",
    "EXPLAIN DELETE FROM runs",
    "EXPLAIN ANALYZE DELETE FROM runs",
    "EXPLAIN ANALYZE COPY runs TO '{folder}/out.csv'",
    "EXPLAIN (ANALYZE) COPY runs TO '{folder}/out.csv'",
    "EXPLAIN (FORMAT JSON) COPY runs TO '{folder}/out.csv'",
    "EXPLAIN (ANALYZE, FORMAT JSON) COPY runs TO '{folder}/out.csv'",
    "EXPLAIN ANALYZE WITH a AS (SELECT 1) INSERT INTO failures SELECT 'r1', '1', 1, 'E', 'm', now() FROM a",
    "EXPLAIN /* SELECT */ ANALYZE /* SELECT 1 */ COPY runs TO '{folder}/out.csv'",
    "EXPLAIN -- SELECT\nANALYZE COPY runs TO '{folder}/out.csv'",
    "EXPLAIN ANALYZE /* /* */ SELECT 1 --*/ */ COPY runs TO '{folder}/out.csv'",
    "EXPLAIN ( /* )SELECT 1 -- */ ANALYZE) COPY runs TO '{folder}/out.csv'",
    "EXPLAIN ANALYZE CREATE TEMP TABLE mine AS SELECT 1",
    "SELECT * FROM read_csv('{secret}')",
    "SELECT * FROM read_text('{secret}')",
    "SELECT * FROM read_blob('{secret}')",
    "SELECT * FROM read_json('{secret}')",
    "SELECT * FROM read_parquet('{secret}')",
    "SELECT * FROM parquet_metadata('{secret}')",
    "SELECT * FROM sniff_csv('{secret}')",
    "SELECT * FROM read_duckdb('{folder}/other.duckdb')",
    "SELECT * FROM glob('{folder}/*')",
    "FROM '{secret}'",
    "SELECT * FROM '{secret}.csv'",
    "SELECT (SELECT content FROM read_text('{secret}'))",
    "SELECT * FROM query('SELECT * FROM read_text(''{secret}'')')",
    "SELECT * FROM query/**/('COPY runs TO ''{folder}/out.csv''')",
    "SELECT * FROM query_table('{secret}')",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('FROM read_text(''{secret}'')'))",
    "SELECT * FROM 'http://127.0.0.1:1/x.parquet'",
    "SELECT * FROM read_csv('https://127.0.0.1:1/x.csv')",
    "SELECT * FROM 's3://bucket/x.parquet'",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM which_secret('s3://bucket', 's3')",
    "SELECT getenv('HOME')",
    "SELECT * FROM enable_logging(storage = 'file', storage_path = '{folder}/out')",
    "SELECT * FROM enable_logging(level = 'trace', storage = 'stdout')",
    "SELECT * FROM \"enable_profiling\"(format = 'json', save_location = '{folder}/out.json')",
    "SELECT write_log('mine')",
    "SELECT * FROM pandas_scan(NULL)",
    "SELECT * FROM arrow_scan(NULL, NULL, NULL)",
    "SELECT * FROM sqlite_scan('{secret}', 'x')",
    "SELECT * FROM python_variable",
]


def _state(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_does_anything_else_is_refused(frozen: Path, attack: str) -> None:
    """In one line, without touching a file."""
    python_variable = pa.table({"i": [1]})
    before = _state(frozen.parent)
    reply = _ask(frozen, attack.format(folder=frozen.parent, secret=frozen.parent / "secret"))
    assert set(reply) == {"kind", "error"}
    assert "\n" not in reply["error"]
    assert "hunter2" not in reply["error"]
    assert _state(frozen.parent) == before
    assert python_variable.num_rows == 1


def test_a_refusal_is_a_usage_error(data: Any) -> None:
    """Whether it is refused by us or by DuckDB, or is wrong."""
    for sql, says in [
        ("DELETE FROM runs", "one SELECT or EXPLAIN at a time, please: this face only reads"),
        ("FROM read_text('/etc/hostname')", "disabled by configuration"),
        ("SELECT nme FROM runs", 'Referenced column "nme" not found'),
    ]:
        with pytest.raises(UsageError, match=says):
            run_sql(data, sql)


def test_a_long_query_is_stopped(data: Any) -> None:
    """At its time limit, and the database is free again."""
    started = time.monotonic()
    with pytest.raises(VlmprobeError, match=r"took longer than 1\.5 s and was stopped"):
        run_sql(data, "SELECT sum(hash(range)) FROM range(1000000000000)", timeout_s=1.5)
    assert time.monotonic() - started < 5
    with data.transaction() as connection:
        assert connection.execute(text("SELECT count(*) FROM runs")).scalar_one() == 2


@pytest.mark.parametrize(
    "sql", ["SELECT list(repeat('x', 1000000)) FROM range(5000)", "SELECT length(repeat('x', 3000000000))"]
)
def test_a_query_that_needs_too_much_memory_is_stopped(data: Any, sql: str) -> None:
    """It may not go to disk either."""
    with pytest.raises(VlmprobeError, match="needs more than 1024 MiB of memory and was stopped"):
        run_sql(data, sql, timeout_s=30)


def test_a_query_that_dies_is_one_line(data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed, say, by the system for its memory: the next query works."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nkill -9 $$\n")
    python.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setattr(sandbox.sys, "executable", str(python))
        with pytest.raises(VlmprobeError, match=r"stopped at its limits \(1024 MiB of memory, 60 s\)"):
            run_sql(data, "SELECT 1")
    assert run_sql(data, "SELECT 1 AS one").rows == ((1,),)


@pytest.mark.parametrize("limits", [{"timeout_s": 0}, {"max_rows": -1}])
def test_limits_that_are_none_are_usage_errors(data: Any, limits: dict[str, Any]) -> None:
    """Zero rows are fine: one may want the columns alone."""
    with pytest.raises(UsageError, match="a timeout above 0 and 0 rows or more"):
        run_sql(data, "SELECT 1", **limits)
    assert run_sql(data, "SELECT 1 AS one", max_rows=0) == Table(("one",), (), truncated=True)


def test_a_query_waits_for_a_foreign_process(data: Any, child: Any) -> None:
    """As every command does; it says so once."""
    holder = child(HOLD, data.path)
    assert holder.read() == "held"
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        holder.finish()

    assert run_sql(data, "SELECT count(*) AS n FROM runs", tell=tell).rows == ((2,),)
    assert len(told) == 1
    assert f"PID {holder.pid}" in told[0]


def test_a_query_sees_what_a_killed_process_had_committed(data: Any, child: Any) -> None:
    """The write-ahead log that it leaves behind is read."""
    writer = child(
        "import sys, duckdb\n"
        "connection = duckdb.connect(sys.argv[1])\n"
        "connection.execute(\"UPDATE runs SET status = 'complete'\")\n"
        "print('done', flush=True)\n"
        "sys.stdin.readline()\n",
        data.path,
    )
    assert writer.read() == "done"
    writer.kill()
    assert run_sql(data, "SELECT DISTINCT status FROM runs").rows == (("complete",),)
