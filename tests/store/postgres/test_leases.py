"""Leases in the runs row: one holder at a time, by the database's clock, and nothing written without it."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from vlmprobe.errors import LeaseHeldError, LeaseLostError
from vlmprobe.store import row_lease
from vlmprobe.store.committer import adopt_orphans
from vlmprobe.store.postgres_store import PostgresStore
from vlmprobe.store.predictions import commit_failures, commit_shard
from vlmprobe.store.roles import grant_reader
from vlmprobe.store.runs import set_status
from vlmprobe.store.shards import FailureRecord, shard_name, shard_number, write_shard

if TYPE_CHECKING:
    from collections.abc import Callable

    from vlmprobe.settings import Settings

    from ...postgres_server import Server

KEY = "key of r1"
HOLD = """
import sys, time
from pathlib import Path
from vlmprobe.errors import LeaseLostError
from vlmprobe.store import row_lease
from vlmprobe.store.postgres_store import PostgresStore
from vlmprobe.store.predictions import commit_failures
from vlmprobe.store.shards import FailureRecord
row_lease.LIFE_S, row_lease.RENEW_S = float(sys.argv[2]), float(sys.argv[2]) / 4
store = PostgresStore(sys.argv[1], home=Path("/nowhere"))
with store.lease("key of r1"):
    print("held", flush=True)
    sys.stdin.readline()
    try:
        with store.transaction() as connection:
            commit_failures(connection, "r1", [FailureRecord("1", "Error", "of a zombie")])
        print("wrote", flush=True)
    except LeaseLostError as error:
        print(error, flush=True)
"""


def lease_of(study: Any) -> dict[str, Any] | None:
    """Return what the row says."""
    ((lease,),) = study.rows("SELECT lease FROM runs")
    return json.loads(lease) if lease else None


def change(study: Any, **changed: Any) -> None:
    """Let the lease of the row be another's."""
    lease = json.dumps({**(lease_of(study) or {}), **changed})
    with study.database.transaction() as connection:
        connection.execute(text("UPDATE runs SET lease = :lease"), {"lease": lease})


def test_a_lease_is_held_by_one_and_given_up(study: Any, another: Callable[[], PostgresStore]) -> None:
    """The second is told who has it, for how long, and what to do."""
    study.run("r1")
    with study.database.lease(KEY):
        held = lease_of(study)
        assert held is not None
        assert held["pid"] == os.getpid()
        with pytest.raises(LeaseHeldError, match=rf"process {os.getpid()} on .* ends in (8|9)\d s .* --wait"):
            another().lease(KEY).__enter__()
    assert lease_of(study) is None
    with another().lease(KEY):
        pass


def test_of_several_machines_that_take_it_at_once_one_has_it(
    study: Any, another: Callable[[], PostgresStore]
) -> None:
    """Looking and taking are one step."""
    study.run("r1")
    barrier, over, got = threading.Barrier(4), threading.Event(), []

    def take(store: PostgresStore) -> None:
        store.exists()
        barrier.wait()
        try:
            with store.lease(KEY):
                got.append("held")
                over.wait(20)
        except LeaseHeldError:
            got.append("refused")
            if got.count("refused") == 3:
                over.set()

    threads = [threading.Thread(target=take, args=(another(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == ["held", "refused", "refused", "refused"]


def test_a_holder_that_died_here_has_no_lease(study: Any, settings: Settings, child: Any) -> None:
    """On this machine it is known at once that its process is gone, as with a DuckDB file."""
    study.run("r1")
    process = child(HOLD, settings.database_url, "90")
    assert process.read() == "held"
    process.kill()
    assert lease_of(study) is not None
    with study.database.lease(KEY):
        pass


def test_a_holder_elsewhere_has_it_until_it_ends(study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else says whether it is alive; `--wait` says so once, and has it then."""
    study.run("r1")
    with study.database.transaction(write=False) as connection:
        now = connection.execute(text("SELECT extract(epoch FROM clock_timestamp())::float8")).scalar_one()
    change(study, host="n3", machine="another", pid=1, token="t", expires=now + 1.5)
    with pytest.raises(LeaseHeldError, match="process 1 on n3"):
        study.database.lease(KEY).__enter__()
    monkeypatch.setattr(row_lease, "LOOK_AGAIN_S", 0.2)
    said: list[str] = []
    with study.database.lease(KEY, wait=said.append):
        assert "process 1 on n3" in said[0]
        assert said[0].endswith("waiting for it")
        assert len(said) == 1


def test_the_clock_of_this_machine_does_not_count(study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose clock is a year ahead takes no lease from anyone."""
    study.run("r1")
    with study.database.lease(KEY):
        change(study, machine="another")
        year = 365 * 86_400
        monkeypatch.setattr(time, "time", lambda real=time.time: real() + year)
        with pytest.raises(LeaseHeldError):
            study.database.lease(KEY).__enter__()


def test_a_lease_is_renewed_while_it_is_held(study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a thread, whatever the model is doing."""
    monkeypatch.setattr(row_lease, "RENEW_S", 0.05)
    study.run("r1")
    with study.database.lease(KEY):
        first = lease_of(study)
        deadline = time.monotonic() + 20
        while lease_of(study) == first and time.monotonic() < deadline:
            time.sleep(0.05)
        assert lease_of(study) != first


def test_who_lost_the_lease_writes_nothing_and_says_why(
    study: Any, settings: Settings, shard_content: Callable[..., Any], another: Callable[[], PostgresStore]
) -> None:
    """Rows of a shard, failures and the status are all fenced; a third, without any lease, is refused as well."""
    study.run("r1")
    study.pairs({"1": "left", "2": "far"})
    shard = write_shard(settings.spool_of("r1"), shard_content())
    writes: list[Callable[[Any], Any]] = [
        lambda connection: commit_shard(connection, shard),
        lambda connection: commit_failures(connection, "r1", [FailureRecord("1", "Error", "no")]),
        lambda connection: set_status(connection, "r1", "complete"),
    ]
    with study.database.lease(KEY):
        change(study, token="of someone else", host="n3")
        for write in writes:
            with pytest.raises(LeaseLostError, match="n3"), study.database.transaction() as connection:
                write(connection)
            with pytest.raises(LeaseHeldError, match="n3"), another().transaction() as connection:
                write(connection)
    assert study.rows(
        "SELECT (SELECT count(*) FROM predictions) + (SELECT count(*) FROM failures), status FROM runs"
    ) == [(0, "running")]
    # What is someone else's is not given up either.
    assert "of someone else" in (lease_of(study) or {}).values()


def test_a_zombie_writes_nothing(study: Any, settings: Settings, child: Any) -> None:
    """A process that is stopped for longer than its lease lasts, and then goes on, finds the run taken."""
    study.run("r1")
    process = child(HOLD, settings.database_url, "1")
    assert process.read() == "held"
    os.kill(process.pid, signal.SIGSTOP)
    # It is still alive here: only the end of its lease frees the run.
    with study.database.lease(KEY, wait=lambda _: None):
        process.process.stdin.write("\n")
        process.process.stdin.flush()
        os.kill(process.pid, signal.SIGCONT)
        assert "its lease of run r1 went to process" in process.read()
    assert study.rows("SELECT count(*) FROM failures") == [(0,)]


def test_who_may_only_read_takes_no_lease_but_heeds_it(
    study: Any, settings: Settings, postgres: Server
) -> None:
    """`vlmprobe verify` works with a role that may only read, as it does on a file that cannot be written."""
    study.run("r1")
    grant_reader(study.database, "reader_of_leases")
    name = settings.database_url.rpartition("/")[2]
    reader = PostgresStore(postgres.url(name, "reader_of_leases"), home=settings.home)
    with reader.lease(KEY):
        assert lease_of(study) is None
    with study.database.lease(KEY), pytest.raises(LeaseHeldError):
        reader.lease(KEY).__enter__()
    reader.close()


def test_a_removed_run_ends_its_extraction(study: Any) -> None:
    """`vlmprobe runs rm` of another version, or a hand in the database."""
    study.run("r1")
    with study.database.lease(KEY):
        with study.database.transaction() as connection:
            connection.execute(text("DELETE FROM runs"))
        with pytest.raises(LeaseLostError, match="was removed"), study.database.transaction() as connection:
            set_status(connection, "r1", "complete")


def test_shards_of_two_holders_have_two_names(
    study: Any, settings: Settings, shard_content: Callable[..., Any]
) -> None:
    """So neither replaces the other's file in MLflow; one that has no row any more is removed."""
    study.run("r1")
    study.pairs({"1": "left", "2": "far"})
    with study.database.lease(KEY):
        mark = study.database.shard_mark("r1")
        assert len(mark) == 8
        ours = write_shard(settings.spool_of("r1"), shard_content(mark=mark))
        theirs = write_shard(settings.spool_of("r1"), shard_content(mark="0" * 8))
        assert (ours.path.name, shard_number(ours.path)) == (shard_name(1, mark), 1)
        with study.database.transaction() as connection:
            commit_shard(connection, ours)
        assert adopt_orphans(study.database, settings.spool_of("r1"), "r1") == 0
        assert ours.path.exists()
        assert not theirs.path.exists()
    assert study.database.shard_mark("r1") == ""
