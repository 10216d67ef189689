"""``vlmprobe sql`` against statements made to do harm: each is refused, and what only reads is answered."""

from __future__ import annotations

import resource
import shutil
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pytest

from vlmprobe.errors import UsageError, VlmprobeError
from vlmprobe.store import sandbox, sql_answers
from vlmprobe.store.duckdb_store import DuckDBStore
from vlmprobe.store.foreign_sql import REFUSED
from vlmprobe.store.sandbox import run_sql

from .attacks import ATTACKS, REVIEWED_TABLE_FUNCTIONS, TOO_MUCH

if TYPE_CHECKING:
    from pathlib import Path


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


def test_there_are_enough_attacks() -> None:
    """Different ones."""
    assert len(set(ATTACKS)) == len(ATTACKS) >= 120


def test_every_table_function_was_looked_at() -> None:
    """A newer DuckDB may bring one that does more than read: this fails until someone has looked."""
    rows = duckdb.execute(
        "SELECT function_name FROM duckdb_functions() WHERE function_type = 'table'"
    ).fetchall()
    assert {name for (name,) in rows} - REVIEWED_TABLE_FUNCTIONS - REFUSED == set()


def test_a_name_of_a_function_in_a_text_is_no_call(frozen: Path) -> None:
    """DuckDB's own reading decides what is called, not the letters."""
    for sql in (
        "SELECT 'COPY query (1); enable_logging()' AS query, query.n FROM (SELECT 1 AS n) AS query",
        "SELECT 1 AS checkpoint -- query('SELECT 1')",
        "SELECT query FROM (VALUES (1)) AS t(query)",
    ):
        assert _ask(frozen, sql)["rows"], sql


def test_what_cannot_be_taken_apart_may_not_name_a_refused_function(frozen: Path) -> None:
    """A PRAGMA that only reads counts as a SELECT, and is no tree of DuckDB's."""
    assert "rows" in _ask(frozen, "PRAGMA table_info('runs')")
    assert "query is not allowed" in _ask(frozen, "PRAGMA table_info('query')")["error"]


@pytest.mark.full
@pytest.mark.parametrize("attack", ATTACKS)
def test_what_does_anything_else_is_refused_in_its_process(frozen: Path, attack: str) -> None:
    """The whole way, as ``vlmprobe sql`` goes it."""
    before = _state(frozen.parent)
    with pytest.raises(VlmprobeError) as raised:
        run_sql(DuckDBStore(frozen), attack.format(folder=frozen.parent, secret=frozen.parent / "secret"))
    assert "hunter2" not in str(raised.value)
    assert _state(frozen.parent).items() >= before.items()


_QUICK = [1, 3]


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param(sql, marks=[] if place in _QUICK else pytest.mark.full, id=sql[:50])
        for place, sql in enumerate(TOO_MUCH)
    ],
)
def test_what_takes_too_much_is_stopped(frozen: Path, sql: str) -> None:
    """In one short line, with the asking process no larger than before; the next query works.

    None of them would end by itself within a day.
    """
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(VlmprobeError) as raised:
        run_sql(DuckDBStore(frozen), sql, timeout_s=3, max_rows=100_000)
    assert len(str(raised.value)) < 1200
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # in KiB
    assert run_sql(DuckDBStore(frozen), "SELECT 1 AS one").rows == ((1,),)


def test_an_answer_that_is_too_large_is_refused_by_the_child(
    frozen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be in the asking process three times."""
    monkeypatch.setattr(sql_answers, "_MAX_REPLY", 1000)
    reply = sandbox.json.loads(sql_answers.reply_within_limits(_ask(frozen, "SELECT repeat('x', 2000)")))
    assert reply["kind"] == "limit"
    assert "select fewer rows, fewer columns or shorter texts" in reply["error"]


@pytest.mark.parametrize(
    "limits",
    [{"timeout_s": float("inf")}, {"timeout_s": float("nan")}, {"timeout_s": 1e300}, {"max_rows": 10**30}],
)
def test_limits_beyond_all_bounds_are_usage_errors(frozen: Path, limits: dict[str, Any]) -> None:
    """No clock and no counter takes them."""
    with pytest.raises(UsageError, match="up to 86400 s, and 0 to 1000000000 rows"):
        run_sql(DuckDBStore(frozen), "SELECT 1", **limits)


def test_the_working_directory_is_not_imported_from(
    frozen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks in a folder of someone else's results does not run what lies there."""
    for name in ("duckdb", "json", "re", "vlmprobe", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('run from the working directory')")
    monkeypatch.chdir(tmp_path)
    assert run_sql(DuckDBStore(frozen), "SELECT 1 AS one").rows == ((1,),)
