"""Leases of parts: in rows of their own, each a fence for its process, and in the way of the whole run."""

from __future__ import annotations

import json
import os
import re
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from vlmprobe.errors import LeaseHeldError, LeaseLostError
from vlmprobe.store import row_lease
from vlmprobe.store.parts import Part
from vlmprobe.store.predictions import commit_failures, commit_shard
from vlmprobe.store.run_parts import set_part
from vlmprobe.store.shards import FailureRecord, write_shard

if TYPE_CHECKING:
    from collections.abc import Callable

    from vlmprobe.settings import Settings
    from vlmprobe.store.postgres_store import PostgresStore

KEY = "key of r1"
HOLD = """
import sys
from pathlib import Path
from vlmprobe.store.parts import Part
from vlmprobe.store.postgres_store import PostgresStore
with PostgresStore(sys.argv[1], home=Path("/nowhere")).lease("key of r1", part=Part(2, 1)):
    print("held", flush=True)
    sys.stdin.readline()
"""


def end(study: Any) -> None:
    """Let leases have ended, as where their machines sleep."""
    with study.database.transaction() as connection:
        for table in ("runs", "run_parts"):
            rows = connection.execute(text(f"SELECT lease FROM {table} WHERE lease IS NOT NULL"))
            for (lease,) in rows.all():
                ended = json.dumps({**json.loads(lease), "expires": 1.0})
                connection.execute(
                    text(f"UPDATE {table} SET lease = :ended WHERE lease = :lease"),
                    {"ended": ended, "lease": lease},
                )


def write(store: PostgresStore, pair_id: str = "1") -> None:
    """Write something for the run, as an extraction does."""
    with store.transaction() as connection:
        commit_failures(connection, "r1", [FailureRecord(pair_id, "Error", "no")])


def test_parts_are_held_beside_each_other_and_by_one_each(
    study: Any, another: Callable[[], PostgresStore]
) -> None:
    """The same part, a part of another number of parts, and the whole run are refused; so is who holds nothing."""
    study.run("r1")
    who = f"process {os.getpid()} on .* ends in (8|9)\\d s .*; wait for it with --wait, or stop it"
    with study.database.lease(KEY, part=Part(2, 1)), another().lease(KEY, part=Part(2, 2)):
        for part in (Part(2, 2), Part(3, 1), None):
            with pytest.raises(LeaseHeldError, match=rf"part [12]/2 of this run is being extracted by {who}"):
                another().lease(KEY, part=part).__enter__()
        with pytest.raises(LeaseHeldError, match="part 1/2 of this run"):
            write(another())
    assert study.rows("SELECT part, status, lease FROM run_parts ORDER BY part") == [
        (1, "created", None),
        (2, "created", None),
    ]
    with another().lease(KEY), pytest.raises(LeaseHeldError, match="this run is being extracted by"):
        study.database.lease(KEY, part=Part(2, 1)).__enter__()
    with another().lease(KEY, part=Part(3, 3)):
        pass


def test_each_part_writes_beside_the_others(
    study: Any, settings: Settings, shard_content: Callable[..., Any], another: Callable[[], PostgresStore]
) -> None:
    """The token of the part opens the run's rows; names of shards hold it."""
    study.run("r1")
    study.pairs({"1": "left", "2": "far"})
    other = another()
    with study.database.lease(KEY, part=Part(2, 1)), other.lease(KEY, part=Part(2, 2)):
        for store, number in ((study.database, 1), (other, 2)):
            mark = store.shard_mark("r1")
            assert re.fullmatch("[0-9a-f]{8}", mark)
            content = shard_content(number, (str(number),), mark=mark)
            shard = write_shard(settings.spool_of("r1"), content)
            with store.transaction() as connection:
                commit_shard(connection, shard)
                set_part(connection, "r1", Part(2, number), "complete", {"1", "2"})
    assert study.rows("SELECT shard, n_pairs FROM shards ORDER BY 1") == [(1, 1), (2, 1)]


@pytest.mark.parametrize(
    "taken", [Part(2, 1), Part(3, 2), None], ids=["it", "another split", "the whole run"]
)
def test_a_part_whose_lease_ended_and_was_taken_writes_nothing(
    study: Any, another: Callable[[], PostgresStore], taken: Part | None
) -> None:
    """Also if not the part itself, but what excludes it, was taken and given up; the other parts go on."""
    study.run("r1")
    with study.database.lease(KEY, part=Part(2, 1)):
        write(study.database)
        end(study)
        # Nobody has taken it yet.
        write(study.database, "2")
        with (
            another().lease(KEY, part=taken),
            pytest.raises(
                LeaseLostError, match=rf"its lease of part 1/2 of run r1 went to process {os.getpid()}"
            ),
        ):
            write(study.database, "3")
        with pytest.raises(LeaseLostError, match="another process, which has finished"):
            write(study.database, "3")
    assert study.rows("SELECT pair_id FROM failures ORDER BY 1") == [("1",), ("2",)]


def test_a_whole_runs_holder_that_slept_writes_nothing_beside_parts(
    study: Any, another: Callable[[], PostgresStore]
) -> None:
    """Its token is taken out of its row when a part is taken."""
    study.run("r1")
    other = another()
    with study.database.lease(KEY):
        end(study)
        with other.lease(KEY, part=Part(2, 1)):
            write(other)
            with pytest.raises(LeaseLostError, match="its lease of run r1 went to"):
                write(study.database, "2")
    assert study.rows("SELECT pair_id FROM failures") == [("1",)]


def test_a_part_that_ended_leaves_the_others_their_leases(
    study: Any, another: Callable[[], PostgresStore]
) -> None:
    """Who takes one part over takes nothing from the rest."""
    study.run("r1")
    other = another()
    with ExitStack() as stack:
        stack.enter_context(study.database.lease(KEY, part=Part(3, 1)))
        stack.enter_context(other.lease(KEY, part=Part(3, 2)))
        end(study)
        with another().lease(KEY, part=Part(3, 3)):
            write(study.database, "1")
            write(other, "2")
    assert study.rows("SELECT pair_id FROM failures ORDER BY 1") == [("1",), ("2",)]


def test_a_part_whose_process_died_here_is_free_at_once(study: Any, settings: Settings, child: Any) -> None:
    """As a whole run is; elsewhere, only the end of its lease frees it, and ``--wait`` waits for that."""
    study.run("r1")
    process = child(HOLD, settings.database_url)
    assert process.read() == "held"
    with pytest.raises(
        LeaseHeldError, match=f"part 1/2 of this run is being extracted by process {process.pid}"
    ):
        study.database.lease(KEY).__enter__()
    process.kill()
    with study.database.lease(KEY, part=Part(2, 1)):
        pass


def test_who_waits_for_a_part_says_so_once(
    study: Any, settings: Settings, child: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And has what it wants when the part is given up."""
    monkeypatch.setattr(row_lease, "LOOK_AGAIN_S", 0.1)
    study.run("r1")
    process = child(HOLD, settings.database_url)
    assert process.read() == "held"
    said: list[str] = []

    def hear(line: str) -> None:
        said.append(line)
        process.process.stdin.write("\n")
        process.process.stdin.flush()

    with study.database.lease(KEY, wait=hear):
        assert len(said) == 1
        assert said[0].startswith(f"part 1/2 of this run is being extracted by process {process.pid}")
        assert said[0].endswith("; waiting for it")


def test_a_part_is_renewed_while_it_is_held(study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a thread of its process."""
    monkeypatch.setattr(row_lease, "RENEW_S", 0.05)
    study.run("r1")
    with study.database.lease(KEY, part=Part(2, 1)):
        (first,) = study.rows("SELECT lease FROM run_parts")
        for _ in range(400):
            if study.rows("SELECT lease FROM run_parts") != [first]:
                return
    pytest.fail("it was not renewed")
