"""Units in the database: who takes one, who is taken to be gone, and what is cancelled."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, update

from vlmprobe.store.clock import clock
from vlmprobe.store.lease_rows import describe_process
from vlmprobe.store.row_lease import LIFE_S
from vlmprobe.store.runs import RunPlan, open_run, set_status
from vlmprobe.store.schema import RunRow, UnitRow
from vlmprobe.store.unit_progress import running_runs, who_extracts
from vlmprobe.store.units import (
    CANCELLED,
    DONE,
    FAILED,
    RUNNING,
    STOPPED,
    WAITING,
    Holder,
    Unit,
    add_units,
    begin_unit,
    cancel_units,
    end_unit,
    get_unit,
    saw_unit,
    set_job,
    units_of,
)

if TYPE_CHECKING:
    from vlmprobe.store.engine import Database

UNIT = Unit(
    submission="s",
    number=0,
    name="tiny @ 2m",
    engine="slurm",
    commands=(("extract", "tiny"), ("analyze", "tiny")),
    folder="/work",
    family="tiny",
    scale="2m",
    dataset_id="d",
    templates=("published",),
)
FIRST, SECOND = Holder("n1", 11, "a"), Holder("n2", 22, "b")


@pytest.fixture
def units(database: Database) -> Database:
    """Submit one unit."""
    with database.transaction() as connection:
        add_units(connection, [UNIT])
    return database


def found(database: Database) -> Unit:
    """Read it again."""
    with database.transaction(write=False) as connection:
        unit = get_unit(connection, "s", 0)
    assert unit is not None
    return unit


def begin(database: Database, holder: Holder) -> bool:
    """Let a process take it."""
    with database.transaction() as connection:
        return begin_unit(connection, UNIT, holder)


def end(database: Database, holder: Holder, state: str, error: str | None = None) -> None:
    """Let a process say how it ended."""
    with database.transaction() as connection:
        end_unit(connection, UNIT, holder, state, error)


def not_seen_for(database: Database, seconds: float) -> None:
    """Let time pass without a sign of life."""
    with database.transaction() as connection:
        connection.execute(update(UnitRow).values(seen=UnitRow.seen - seconds))


def test_a_unit_comes_back_as_it_was_submitted(units: Database) -> None:
    """It waits, nobody has it, and it was never begun."""
    unit = found(units)
    assert replace(unit, submitted_at=None) == UNIT
    assert (unit.state, unit.attempts, unit.host, unit.is_lost) == (WAITING, 0, None, False)


def test_one_process_at_a_time_has_a_unit(units: Database) -> None:
    """The second is refused while the first is seen; the first, asking again, still has it."""
    assert begin(units, FIRST)
    assert not begin(units, SECOND)
    assert begin(units, FIRST)
    unit = found(units)
    assert (unit.state, unit.host, unit.process, unit.attempts) == (RUNNING, "n1", 11, 1)


def test_a_unit_whose_process_was_not_seen_is_taken_over(units: Database) -> None:
    """Then the first is told that it lost it, and how it ends is not noted."""
    assert begin(units, FIRST)
    not_seen_for(units, LIFE_S - 5)
    assert not begin(units, SECOND)
    not_seen_for(units, 10)
    assert found(units).is_lost
    assert begin(units, SECOND)
    with units.transaction() as connection:
        assert not saw_unit(connection, UNIT, FIRST)
        assert saw_unit(connection, UNIT, SECOND)
    end(units, FIRST, FAILED, "of a zombie")
    unit = found(units)
    assert (unit.state, unit.host, unit.attempts, unit.error) == (RUNNING, "n2", 2, None)


def test_a_process_that_is_seen_keeps_its_unit(units: Database) -> None:
    """Each sign of life counts from then on."""
    assert begin(units, FIRST)
    not_seen_for(units, LIFE_S + 5)
    with units.transaction() as connection:
        assert saw_unit(connection, UNIT, FIRST)
    assert not begin(units, SECOND)


@pytest.mark.parametrize("state", [FAILED, STOPPED])
def test_what_failed_or_was_stopped_is_begun_again(units: Database, state: str) -> None:
    """Its error is forgotten then, and the tries are counted."""
    assert begin(units, FIRST)
    end(units, FIRST, state, "why")
    assert found(units).error == "why"
    assert begin(units, SECOND)
    unit = found(units)
    assert (unit.state, unit.error, unit.ended_at, unit.attempts) == (RUNNING, None, None, 2)


def test_what_is_done_is_not_begun_again(units: Database) -> None:
    """Whoever is late finds nothing to do."""
    assert begin(units, FIRST)
    end(units, FIRST, DONE)
    assert not begin(units, SECOND)
    assert found(units).ended_at is not None


def test_cancelling_reaches_what_waits_runs_or_may_be_begun_again(units: Database) -> None:
    """What is done stays done; a process that runs one finds out when it next says that it is alive."""
    more = [replace(UNIT, number=number) for number in (1, 2)]
    with units.transaction() as connection:
        add_units(connection, more)
        add_units(connection, [replace(UNIT, submission="another")])
        for number in (0, 1):
            assert begin_unit(connection, replace(UNIT, number=number), FIRST)
        end_unit(connection, replace(UNIT, number=1), FIRST, DONE)
        assert cancel_units(connection, "s") == 2
    with units.transaction() as connection:
        assert not saw_unit(connection, UNIT, FIRST)
        end_unit(connection, UNIT, FIRST, STOPPED)
        assert [unit.state for unit in units_of(connection, "s")] == [CANCELLED, DONE, CANCELLED]
        assert [unit.state for unit in units_of(connection, "another")] == [WAITING]
    assert not begin(units, SECOND)


def test_all_units_of_a_submission_have_the_engines_job(units: Database) -> None:
    """What the engine calls it is known only after the units are there."""
    with units.transaction() as connection:
        add_units(connection, [replace(UNIT, number=1), replace(UNIT, submission="another")])
        set_job(connection, "s", "17")
        assert {unit.job for unit in units_of(connection, "s")} == {"17"}
        assert {unit.job for unit in units_of(connection, "another")} == {None}


_DESCRIBE = "import json; from vlmprobe.store.lease_rows import describe_process; print(json.dumps(describe_process()))"


@pytest.mark.parametrize("is_alive", [False, True])
def test_a_run_whose_process_is_gone_is_at_work_no_more(study: Any, is_alive: bool) -> None:
    """Whether its lease has ended or not; the host that had it is still known."""
    described = [sys.executable, "-c", _DESCRIBE]
    dead = json.loads(subprocess.run(described, check=True, capture_output=True, text=True).stdout)
    holder = describe_process() if is_alive else dead
    study.run("r1")
    with study.database.transaction() as connection:
        times = {"renewed": time.time(), "expires": clock(connection) + LIFE_S, "token": "t"}
        set_status(connection, "r1", "running", lease=json.dumps(holder | times))
        assert who_extracts(connection, "r1") == (socket.gethostname(), is_alive)
        assert [run.run_id for run in running_runs(connection)] == ["r1"]


def test_what_was_submitted_and_what_was_begun_are_told_by_one_clock(
    study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a database that machines share it is the database's: a new run is newer than its submission anywhere."""
    if not study.database.is_postgres:
        pytest.skip("one machine has a file, and one clock")
    study.run("r1")
    plan = RunPlan("k", "data", "published", "tiny", "2m", "c", "p", None, None, "t", "cpu")
    behind = datetime(2020, 1, 1)  # noqa: DTZ001 - as the database stores it
    with study.database.transaction() as connection:
        add_units(connection, [UNIT])
        for module in ("clock", "runs"):
            monkeypatch.setattr(f"vlmprobe.store.{module}.utc_now", lambda: behind)
        run, _ = open_run(connection, plan, new=True)
        begun_at = connection.execute(
            select(RunRow.created_at).where(RunRow.run_id == run.run_id)
        ).scalar_one()
    submitted_at = found(study.database).submitted_at
    assert submitted_at is not None
    assert submitted_at <= begun_at
