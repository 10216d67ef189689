"""What a database that several machines share has and a file has not: each trap that a prototype fell into."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from vlmprobe.store.artifacts import shard_places
from vlmprobe.store.datasets import find_datasets
from vlmprobe.store.mlflow_connection import mlflow_environment
from vlmprobe.store.predictions import commit_failures, commit_shard, next_shard_number
from vlmprobe.store.rows import fetch, fetch_column
from vlmprobe.store.runs import RunPlan, open_run, set_config
from vlmprobe.store.shards import FailureRecord, write_shard
from vlmprobe.store.verification import row_problems

if TYPE_CHECKING:
    from collections.abc import Callable

    from vlmprobe.settings import Settings
    from vlmprobe.store.postgres_store import PostgresStore

    from ...postgres_server import Server

MACHINES = 6
PLAN = RunPlan("key", "data", "published", "tiny", "2m", "somewhere", "f" * 64, None, None, "float32", "cpu")
CREATE = """
import sys
from pathlib import Path
from vlmprobe.store.migrate import ensure_schema
from vlmprobe.store.postgres_store import PostgresStore
store = PostgresStore(sys.argv[1], home=Path("/nowhere"))
import alembic.command, sqlalchemy, vlmprobe.store.schema
print("ready", flush=True)
sys.stdin.readline()
ensure_schema(store)
print("made", flush=True)
"""


def at_once(another: Callable[[], PostgresStore], work: Callable[[PostgresStore], Any]) -> list[Any]:
    """Let several machines do the same at the same moment; return what each got."""
    barrier = threading.Barrier(MACHINES)

    def machine(store: PostgresStore) -> Any:
        store.exists()
        barrier.wait()
        return work(store)

    stores = [another() for _ in range(MACHINES)]
    with ThreadPoolExecutor(MACHINES) as pool:
        return list(pool.map(machine, stores))


def test_what_was_looked_at_is_still_true_when_it_is_written(
    study: Any, another: Callable[[], PostgresStore]
) -> None:
    """Trap 1: six machines start one run at once, and count attempts and flags on; none overwrites another's."""

    def start(store: PostgresStore) -> tuple[str, bool, int]:
        with store.transaction() as connection:
            run, resumed = open_run(connection, PLAN, new=False)
            config = {**run.config, f"machine {len(run.config)}": True}
            set_config(connection, run.run_id, config)
            commit_failures(connection, run.run_id, [FailureRecord("1", "Error", "no")])
            return run.run_id, resumed, next_shard_number(connection, run.run_id)

    started = at_once(another, start)
    assert len({run_id for run_id, _, _ in started}) == 1
    assert sorted(resumed for _, resumed, _ in started) == [False] + [True] * (MACHINES - 1)
    assert study.rows("SELECT attempt FROM failures ORDER BY attempt") == [(n + 1,) for n in range(MACHINES)]
    ((config,),) = study.rows("SELECT config FROM runs")
    assert config.count("machine") == MACHINES


def test_two_machines_may_create_the_schema_at_once(postgres: Server, child: Any) -> None:
    """Trap 1: there is nothing to lock in an empty database; the second finds what the first has made."""
    url = postgres.empty()
    processes = [child(CREATE, url), child(CREATE, url)]
    assert [process.read() for process in processes] == ["ready", "ready"]
    for process in processes:
        process.process.stdin.write("\n")
        process.process.stdin.flush()
    assert [process.finish() for process in processes] == ["made", "made"]


def test_readers_wait_for_no_writer(study: Any, another: Callable[[], PostgresStore]) -> None:
    """They see what was written before, all through one transaction."""
    reader = another()
    with study.database.transaction() as writing:
        open_run(writing, PLAN, new=False)
        with reader.transaction(write=False) as reading:
            assert fetch_column(reading, "SELECT count(*) FROM runs") == [0]


def test_a_transaction_that_reads_cannot_write(study: Any) -> None:
    """A call that forgot to say that it writes fails in the first test, and takes no lock in the last."""
    from vlmprobe.errors import ReadOnlyError

    with pytest.raises(ReadOnlyError), study.database.transaction(write=False) as connection:
        open_run(connection, PLAN, new=False)


def test_paths_are_whole_since_other_homes_read_them(
    study: Any, settings: Settings, shard_content: Callable[..., Any], another: Callable[[], PostgresStore]
) -> None:
    """Trap 3: a shard in this machine's spool has the place that it has here."""
    study.run("r1")
    study.pairs({"1": "left", "2": "far"})
    shard = write_shard(settings.spool_of("r1"), shard_content())
    with study.database.transaction() as connection:
        commit_shard(connection, shard)
    elsewhere = another()
    elsewhere.places = type(elsewhere.places)(settings.home.parent / "another", holds_database=False)
    with elsewhere.transaction(write=False) as connection:
        (place,) = shard_places(connection, "r1")
    assert place.path == shard.path
    assert place.path.is_absolute()


def test_an_answer_with_a_nul_is_kept(
    study: Any, settings: Settings, shard_content: Callable[..., Any]
) -> None:
    """Trap 4: Postgres has no such text; the answer gets a replacement, and `verify` finds it as it should be."""
    study.run("r1")
    study.pairs({"1": "left", "2": "far"})
    shard = write_shard(settings.spool_of("r1"), shard_content(text="le\0ft"))
    with study.database.transaction() as connection:
        commit_shard(connection, shard)
        commit_failures(connection, "r1", [FailureRecord("1", "Error", "a \0 in it")])
    assert study.rows("SELECT DISTINCT text FROM predictions") == [("le\N{REPLACEMENT CHARACTER}ft",)]
    assert study.rows("SELECT message FROM failures") == [("a \N{REPLACEMENT CHARACTER} in it",)]
    with study.database.transaction(write=False) as connection:
        assert row_problems(connection, shard, is_complete=True) == []


def test_json_comes_as_the_text_that_was_written(study: Any) -> None:
    """Trap 5: digests and comparisons are of the text."""
    study.run("r1", config={"b": 1, "a": [1.5, None, "é"]})
    assert study.rows("SELECT config FROM runs") == [('{"b": 1, "a": [1.5, null, "\\u00e9"]}',)]


def test_texts_sort_by_character_whatever_language_the_server_speaks(study: Any) -> None:
    """Trap 6: in English a comes before B, in a DuckDB file after it."""
    assert study.rows("SELECT 'a' < 'B'") == [(True,)]
    study.pairs(dict.fromkeys(("a", "B", "é", "z", "Z", "10", "9"), "left"))
    found = [name for (name,) in study.rows("SELECT pair_id FROM swap_pairs ORDER BY pair_id")]
    assert found == sorted(found)
    assert study.rows("SELECT min(pair_id), max(pair_id) FROM swap_pairs") == [("10", "é")]
    ((sorts,),) = study.rows(
        "SELECT count(*) FROM information_schema.columns "
        "WHERE table_schema = current_schema() AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'"
        "AND table_name NOT IN (SELECT table_name FROM information_schema.views)"
    )
    assert sorts == 0


def test_sums_are_numbers_of_python(study: Any) -> None:
    """Trap 7: a sum of large whole numbers is an int, an average a float; NULLs in descending order are a lint's."""
    study.run("r1", samples_seen=2)
    study.run("r2", samples_seen=3)
    ((total, average),) = study.rows("SELECT sum(samples_seen), avg(samples_seen) FROM runs")
    assert (type(total), total, type(average), average) == (int, 5, float, 2.5)


def test_mlflow_prints_no_addresses_among_results(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trap 8: with a server it would print the address of every run to standard output."""
    from mlflow import environment_variables

    name = environment_variables.MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT.name
    monkeypatch.delenv(name, raising=False)
    assert mlflow_environment(settings)[name] == "true"


def test_nothing_outlasts_a_transaction_in_its_session(
    study: Any, settings: Settings, shard_content: Callable[..., Any]
) -> None:
    """Trap 9: a pooler may hand the next transaction another session, and this session to someone else."""
    study.run("r1")
    study.pairs({"1": "left", "2": "far"})
    with study.database.transaction() as connection:
        before = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        commit_shard(connection, write_shard(settings.spool_of("r1"), shard_content()))
    with study.database.transaction(write=False) as connection:
        find_datasets(connection, "bench")
    with study.database.transaction(write=False) as connection:
        (left,) = fetch(
            connection,
            """
            SELECT pg_backend_pid() AS session,
                (SELECT count(*) FROM pg_prepared_statements) AS statements,
                (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') AS locks,
                (SELECT count(*) FROM pg_class WHERE relpersistence = 't') AS tables,
                (SELECT count(*) FROM pg_cursors WHERE is_holdable) AS cursors,
                current_setting('idle_in_transaction_session_timeout') AS pause
            """,
        )
    assert left == {"session": before, "statements": 0, "locks": 0, "tables": 0, "cursors": 0, "pause": "0"}
