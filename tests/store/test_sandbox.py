"""Ad-hoc SQL: reads the database, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from vlmprobe.errors import UsageError, VlmprobeError
from vlmprobe.store import sandbox
from vlmprobe.store.sandbox import run_sql
from vlmprobe.store.sql_answers import Table

from ..command_line import PATIENCE_S

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


def test_a_refusal_is_a_usage_error(data: Any) -> None:
    """Whether it is refused by us or by DuckDB, or is wrong."""
    for sql, says in [
        ("DELETE FROM runs", "only a single SELECT or EXPLAIN is allowed; the database is read-only here"),
        ("FROM read_text('/etc/hostname')", "disabled by configuration"),
        ("SELECT '\udcff'", "the SQL is not UTF-8: character 9 cannot be encoded"),
        ("SELECT nme FROM runs", 'Referenced column "nme" not found'),
    ]:
        with pytest.raises(UsageError, match=says):
            run_sql(data, sql)


def test_a_long_query_is_stopped(data: Any) -> None:
    """At its time limit (it would take hours), and the database is free again."""
    with pytest.raises(VlmprobeError, match=r"took longer than 1\.5 s and was stopped"):
        run_sql(data, "SELECT sum(hash(range)) FROM range(1000000000000)", timeout_s=1.5)
    with data.transaction() as connection:
        assert connection.execute(text("SELECT count(*) FROM runs")).scalar_one() == 2


@pytest.mark.parametrize(
    "sql", ["SELECT list(repeat('x', 1000000)) FROM range(5000)", "SELECT length(repeat('x', 3000000000))"]
)
def test_a_query_that_needs_too_much_memory_is_stopped(data: Any, sql: str) -> None:
    """It may not go to disk either."""
    with pytest.raises(VlmprobeError, match="needs more than 1024 MiB of memory; select less"):
        run_sql(data, sql, timeout_s=PATIENCE_S)


def test_a_query_that_dies_is_one_line(data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed, say, by the system for its memory: the next query works."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nkill -9 $$\n")
    python.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setattr(sandbox.sys, "executable", str(python))
        with pytest.raises(VlmprobeError, match=r"reached its limits \(1024 MiB of memory, 60 s\)"):
            run_sql(data, "SELECT 1")
    assert run_sql(data, "SELECT 1 AS one").rows == ((1,),)


@pytest.mark.parametrize("limits", [{"timeout_s": 0}, {"max_rows": -1}])
def test_limits_that_are_none_are_usage_errors(data: Any, limits: dict[str, Any]) -> None:
    """Zero rows are fine: one may want the columns alone."""
    with pytest.raises(UsageError, match="use a timeout above 0 and up to"):
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

    assert run_sql(data, "SELECT count(*) AS n FROM runs", warn=tell).rows == ((2,),)
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
