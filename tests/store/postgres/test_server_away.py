"""A server that goes away in the middle of an extraction: rows wait in the spool, and follow when it is back."""

from __future__ import annotations

import signal
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from vlmprobe.errors import ConnectionLostError, DatabaseError, VlmprobeError
from vlmprobe.store import server_away
from vlmprobe.store.committer import Committer, adopt_orphans
from vlmprobe.store.identity import utc_now
from vlmprobe.store.postgres_store import PostgresStore
from vlmprobe.store.predictions import commit_failures
from vlmprobe.store.rows import fetch_column
from vlmprobe.store.server_away import retried
from vlmprobe.store.shards import FailureRecord, write_shard
from vlmprobe.store.storage import Storage
from vlmprobe.store.tracking import Tracker

from ...faults.postgres_gate import PostgresGate
from ...postgres_server import postgres_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

    from vlmprobe.settings import Settings

TOLD = "trying again for up to"
END_SESSION = "SELECT pg_terminate_backend(pg_backend_pid())"
#: As `extract` makes them: 360 pairs in shards of 8.
PAIRS, SHARD_PAIRS = 360, 8


@pytest.fixture
def gate(settings: Settings) -> Iterator[PostgresGate]:
    """Stand before the test's database."""
    made = PostgresGate(settings.database_url)
    yield made
    made.close()


@pytest.fixture
def told() -> list[str]:
    """Collect what the store says."""
    return []


@pytest.fixture
def beyond(gate: PostgresGate, settings: Settings, told: list[str]) -> Iterator[PostgresStore]:
    """Open the database through the gate, and use it once."""
    store = PostgresStore(gate.url, home=settings.home, warn=told.append)
    assert store.exists()
    yield store
    store.close()


@pytest.fixture
def run(study: Any) -> Any:
    """Make a run of four pairs."""
    study.pairs({str(number): "left" for number in range(1, 5)})
    return study.run("r1")


@pytest.fixture
def committer(beyond: PostgresStore, mlflow_away: Settings, run: Any) -> Committer:
    """Start its threads; MLflow is away as well, and waits for `sync`."""
    return Committer(Storage(beyond, Tracker(mlflow_away), Path()), "r1")


def test_rows_wait_for_the_server_and_follow(
    committer: Committer,
    gate: PostgresGate,
    settings: Settings,
    study: Any,
    shard_content: Any,
    told: list[str],
    wait_until: Any,
) -> None:
    """Shards and failures that come meanwhile are taken; one line says so, without the password."""
    committer.submit(write_shard(settings.spool_of("r1"), shard_content(1, ("1",))))
    wait_until(lambda: committer.pending == 0)
    gate.shut()
    for number in (2, 3):
        committer.submit(write_shard(settings.spool_of("r1"), shard_content(number, (str(number),))))
    committer.submit_failures([FailureRecord("4", "Error", "no")])
    wait_until(lambda: bool(told))
    assert committer.pending == 2
    assert study.rows("SELECT count(*) FROM shards") == [(1,)]
    gate.open()
    committer.close()
    assert study.rows("SELECT shard, n_pairs FROM shards ORDER BY shard") == [(1, 1), (2, 1), (3, 1)]
    assert study.rows("SELECT pair_id, attempt FROM failures") == [("4", 1)]
    assert study.broken_checks() == []
    (line,) = told
    assert TOLD in line
    assert "hunter2" not in line


def test_a_server_that_stays_away_ends_the_command(
    committer: Committer,
    gate: PostgresGate,
    settings: Settings,
    study: Any,
    shard_content: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With one line that says what to do; what is in the spool becomes rows when the same command is run again."""
    monkeypatch.setattr(server_away, "PATIENCE_S", 0.7)
    gate.shut()
    committer.submit(write_shard(settings.spool_of("r1"), shard_content(1, ("1", "2"))))
    with pytest.raises(VlmprobeError, match=r"waited 1 s for it; .* run the same command again") as raised:
        committer.close()
    assert raised.value.exit_code == 1
    assert "hunter2" not in str(raised.value)
    assert adopt_orphans(study.database, settings.spool_of("r1"), "r1") == 1
    assert study.rows("SELECT shard, n_pairs FROM shards") == [(1, 2)]


def test_a_server_that_never_answered_is_not_waited_for(
    gate: PostgresGate, settings: Settings, told: list[str]
) -> None:
    """Its address is more likely to be wrong."""
    gate.shut()
    store = PostgresStore(gate.url, home=settings.home, warn=told.append)
    began = time.monotonic()
    with pytest.raises(DatabaseError, match="cannot connect to"):
        store.exists()
    assert time.monotonic() - began < 5
    assert told == []


def test_a_lease_is_given_up_without_waiting(
    beyond: PostgresStore, gate: PostgresGate, run: Any, told: list[str]
) -> None:
    """It ends by itself; whoever pressed Ctrl-C does not wait two minutes for that."""
    began = time.monotonic()
    with beyond.lease("key of r1"):
        gate.shut()
    assert time.monotonic() - began < 10
    assert told == []


def test_a_session_that_ended_between_two_transactions_is_replaced(
    study: Any, database: PostgresStore, told: list[str]
) -> None:
    """Without a word: a server that was restarted meanwhile has lost nothing."""
    with pytest.raises(ConnectionLostError), study.database.transaction() as connection:
        connection.execute(text(END_SESSION))
    with study.database.transaction() as connection:
        assert fetch_column(connection, "SELECT count(*) FROM runs") == [0]


@pytest.mark.parametrize("by", ["sqlalchemy", "driver"])
def test_a_transaction_that_lost_its_session_is_done_again(study: Any, run: Any, by: str) -> None:
    """Whoever notices first: SQLAlchemy, or the driver that some of our SQL goes to itself."""
    left = [END_SESSION, None]

    def work(connection: Connection) -> str:
        commit_failures(connection, "r1", [FailureRecord("1", "Error", "no")])
        if (statement := left.pop(0)) is not None:
            if by == "driver":
                fetch_column(connection, statement)
            else:
                connection.execute(text(statement))
        return "done"

    assert retried(study.database, work) == "done"
    assert left == []
    assert study.rows("SELECT attempt FROM failures") == [(1,)]


def test_other_errors_are_not_tried_again(study: Any) -> None:
    """They would come again."""
    tried = []

    def work(connection: Connection) -> None:
        tried.append(1)
        connection.execute(text("SELECT 1 / 0"))

    with pytest.raises(Exception, match="division by zero"):
        retried(study.database, work)
    assert tried == [1]


def test_failures_that_are_written_twice_are_one_attempt(study: Any, run: Any) -> None:
    """The session may be lost when everything is written, before we are told."""
    at = utc_now()
    for when in (at, at, at + timedelta(seconds=1)):
        with study.database.transaction() as connection:
            commit_failures(connection, "r1", [FailureRecord("1", "Error", "no")], at=when)
    assert study.rows("SELECT attempt FROM failures ORDER BY attempt") == [(1,), (2,)]


@pytest.mark.full
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["stopped", "crashed"])
def test_a_server_is_stopped_and_started_during_an_extraction(
    how: signal.Signals,
    shell: Any,
    benchmark: Callable[..., Path],
    mlflow_store: dict[str, str],
    tmp_path: Path,
    wait_until: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The model is asked on, the run is complete, and every pair has its two answers."""
    import psycopg

    home = tmp_path / "home"
    with postgres_server() as server:
        url = server.empty()
        settings = {"VLMPROBE_DATABASE_URL": url, "VLMPROBE_SHARD_PAIRS": str(SHARD_PAIRS), **mlflow_store}
        command = ("extract", "tiny", "--scale", "2m", "--data", benchmark(PAIRS // 6), "--batch-size", 8)

        def spooled() -> int:
            return len(list(home.glob("spool/*/*.safetensors")))

        process = shell.start(*command, "--home", home, **settings)
        wait_until(lambda: spooled() >= 2, process)
        server.stop(how)
        there = spooled()
        wait_until(lambda: spooled() >= there + 2, process)
        time.sleep(2)
        server.start()
        ran = shell.finish(process).ok()
        assert ran.err.count(TOLD) == 1
        shell("verify", "--home", home, **settings).ok()
        with psycopg.connect(url) as session:
            assert session.execute("SELECT status, lease FROM runs").fetchall() == [("complete", None)]
            counts = (
                "SELECT count(*), count(DISTINCT (pair_id, side)), count(DISTINCT shard) FROM predictions"
            )
            n_shards = spooled()
            assert session.execute(counts).fetchall() == [(2 * PAIRS, 2 * PAIRS, n_shards)]
            assert session.execute("SELECT count(*), sum(n_pairs) FROM shards").fetchall() == [
                (n_shards, PAIRS)
            ]
