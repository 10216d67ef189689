"""Parts of a run: what each has, and what becomes of the run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from vlmprobe.errors import UsageError
from vlmprobe.store.committer import adopt_orphans
from vlmprobe.store.lease_rows import describe_holder, write_lease
from vlmprobe.store.parts import Part
from vlmprobe.store.predictions import commit_failures, commit_shard, forget_shard, next_shard_number
from vlmprobe.store.run_edits import delete_run
from vlmprobe.store.run_parts import set_part
from vlmprobe.store.runs import set_status
from vlmprobe.store.shards import FailureRecord, write_shard

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vlmprobe.settings import Settings

FIRST, SECOND = Part(2, 1), Part(2, 2)


@pytest.fixture
def commit(study: Any, settings: Settings, shard_content: Callable[..., Any]) -> Callable[..., None]:
    """Write a shard and its rows in a run of four pairs."""
    study.pairs({"1": "left", "2": "left", "3": "far", "4": "far"})
    study.run("r1")

    def write(number: int, pair_ids: tuple[str, ...]) -> None:
        shard = write_shard(settings.spool_of("r1"), shard_content(number, pair_ids))
        with study.database.transaction() as connection:
            commit_shard(connection, shard)

    return write


@pytest.fixture
def become(study: Any, commit: Any) -> Callable[[Part, str], str]:
    """Set the status of a part, and of the run what that makes of it; return that."""

    def set_it(part: Part, status: str) -> str:
        with study.database.transaction() as connection:
            of_run = set_part(connection, "r1", part, status, {"1", "2", "3", "4"})
            set_status(connection, "r1", of_run)
        return of_run

    return set_it


def test_each_batch_and_each_number_of_a_shard_is_one_parts() -> None:
    """Batches count from 0, shards from 1."""
    parts = [Part(3, number) for number in (1, 2, 3)]
    for number in range(20):
        assert [part.has_batch(number) for part in parts].count(True) == 1
        assert [part.has_shard(number + 1) for part in parts].count(True) == 1
    assert [number for number in range(7) if parts[0].has_batch(number)] == [0, 3, 6]
    assert [number for number in range(1, 8) if parts[0].has_shard(number)] == [1, 4, 7]


def test_a_part_is_read_as_it_is_written() -> None:
    """``1/1`` is no part of anything."""
    assert Part.parse(" 2/4 ") == Part(4, 2)
    assert str(Part(4, 2)) == "2/4"
    assert Part.parse("1/1") is None
    with pytest.raises(UsageError, match=r"--part '5/4': use I/N with I from 1 to N, like 2/4"):
        Part.parse("5/4")


def test_parts_number_their_shards_apart(study: Any, commit: Any) -> None:
    """From its first number on, and after its own highest, whatever the others have."""

    def following(part: Part | None) -> int:
        with study.database.transaction() as connection:
            return next_shard_number(connection, "r1", part)

    assert [following(part) for part in (FIRST, SECOND, None)] == [1, 2, 1]
    commit(1, ("1",))
    commit(5, ("2",))
    assert [following(part) for part in (FIRST, SECOND, Part(3, 1), None)] == [7, 2, 4, 6]


def test_a_part_takes_up_no_shard_of_another(
    study: Any, commit: Any, settings: Settings, shard_content: Callable[..., Any]
) -> None:
    """The other's process may be writing it, or about to write its rows."""
    spool = settings.spool_of("r1")
    write_shard(spool, shard_content(1, ("1",)))
    theirs = write_shard(spool, shard_content(2, ("2",))).path
    damaged = write_shard(spool, shard_content(4, ("3",))).path
    damaged.write_bytes(b"not yet")
    for number in (3, 6):
        (spool / f"0000{number}.partial").touch()

    assert adopt_orphans(study.database, spool, "r1", part=FIRST) == 1

    assert study.rows("SELECT shard FROM shards") == [(1,)]
    assert sorted(path.name for path in spool.iterdir()) == [
        "00001.safetensors",
        theirs.name,
        damaged.name,
        "00006.partial",
    ]
    # Without a part, nobody else is at work.
    assert adopt_orphans(study.database, spool, "r1") == 1
    assert sorted(_names(spool)) == ["00001.safetensors", theirs.name]


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_the_last_part_completes_the_run(study: Any, commit: Any, become: Any) -> None:
    """While another is at work, or something is left to ask, the run is not complete."""
    assert become(FIRST, "running") == "running"
    with study.database.lease("key of r1", part=SECOND):
        assert become(SECOND, "running") == "running"
        commit(1, ("1", "2"))
        assert become(FIRST, "complete") == "running"
        commit(2, ("3",))
    assert become(SECOND, "interrupted") == "interrupted"
    assert become(SECOND, "running") == "running"
    with study.database.transaction() as connection:
        commit_failures(connection, "r1", [FailureRecord("4", "Error", "no")])
    # The fourth is recorded as a failure, and is asked no more.
    assert become(SECOND, "complete") == "complete"
    assert study.rows("SELECT part, status FROM run_parts ORDER BY part") == [
        (1, "complete"),
        (2, "complete"),
    ]
    assert study.rows("SELECT count(*) FROM kept_pair_answers") == [(3,)]
    assert study.broken_checks() == []


def test_what_another_part_has_not_done_interrupts_the_run(commit: Any, become: Any) -> None:
    """It was never begun, or stopped before: somebody has to start it."""
    commit(1, ("1", "2"))
    assert become(FIRST, "complete") == "interrupted"


def test_a_part_whose_process_died_is_not_waited_for(study: Any, commit: Any, become: Any) -> None:
    """Its row still says that it runs. If nothing is left to ask, the run is complete without it."""
    become(SECOND, "running")
    with study.database.transaction() as connection:
        holder = {**json.loads(describe_holder("a token", 1e12)), "started": "before this process"}
        write_lease(connection, "r1", SECOND, json.dumps(holder))
    commit(1, ("1", "2", "3", "4"))
    assert become(FIRST, "complete") == "complete"


def test_a_part_that_failed_keeps_the_run_from_being_complete(commit: Any, become: Any) -> None:
    """Its machine may be at fault: what it recorded is not the model's last word."""
    commit(1, ("1", "2", "3", "4"))
    assert become(SECOND, "failed") == "failed"
    assert become(FIRST, "complete") == "failed"
    # Another way to split the run knows nothing of it.
    assert become(Part(3, 1), "complete") == "complete"


def test_a_complete_run_has_complete_parts_until_a_shard_is_lost(
    study: Any, commit: Any, become: Any
) -> None:
    """Whoever finished it; a run that goes, goes with them."""
    become(SECOND, "interrupted")
    commit(1, ("1", "2", "3", "4"))
    with study.database.transaction() as connection:
        set_status(connection, "r1", "complete")
    assert study.rows("SELECT status FROM run_parts") == [("complete",)]
    with study.database.transaction() as connection:
        forget_shard(connection, "r1", 1)
    assert study.rows("SELECT status FROM run_parts") == [("interrupted",)]
    with study.database.transaction() as connection:
        delete_run(connection, "r1")
    assert study.rows("SELECT count(*) FROM run_parts") == [(0,)]


def test_parts_of_a_run_that_is_gone_are_found(study: Any, commit: Any, become: Any) -> None:
    """As other rows without their run are."""
    become(FIRST, "interrupted")
    assert study.broken_checks() == []
    with study.database.transaction() as connection:
        connection.execute(text("DELETE FROM runs"))
    assert "checks/runs_exist" in study.broken_checks()
