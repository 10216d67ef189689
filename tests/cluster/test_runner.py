"""The process that runs one unit: what it notes of itself, when it stops, and what it leaves alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update

from vlmprobe.cli.main import _Interrupt
from vlmprobe.store.schema import UnitRow
from vlmprobe.store.units import (
    DONE,
    Holder,
    Unit,
    add_units,
    begin_unit,
    cancel_units,
    end_unit,
    get_unit,
)
from vlmprobe.workspace import Workspace

from ..postgres_server import keeps_a_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..command_line import Ran, Shell

#: A command that goes on for as long as a unit runs, and one that fails.
ENDLESS, FAILING = ("status", "--watch"), ("runs", "rm", "no-such-run", "--yes")


class Home:
    """A home with one submission, whose commands take no model."""

    def __init__(self, folder: Path, shell: Shell) -> None:
        self.home, self._folder, self.shell = keeps_a_file(folder / "home"), folder, shell
        self.workspace = Workspace.open(self.home)
        self.workspace.create_database()

    def submit(self, *commands: tuple[str, ...], **changed: Any) -> Unit:
        """Add unit 0 of submission ``s``."""
        unit = Unit(
            submission="s",
            number=0,
            name="tiny @ 2m",
            engine="print",
            commands=commands,
            folder=str(self._folder),
            family="tiny",
            scale="2m",
            dataset_id="d",
            templates=("published",),
        )
        unit = replace(unit, **changed)
        with self.workspace.database.transaction() as connection:
            add_units(connection, [unit])
        return unit

    def begun_by(self, unit: Unit, holder: Holder, *, ago: float = 0.0) -> None:
        """Let another process have it, which was seen some time ago."""
        with self.workspace.database.transaction() as connection:
            assert begin_unit(connection, unit, holder)
            connection.execute(update(UnitRow).values(seen=UnitRow.seen - ago))

    @property
    def unit(self) -> Unit:
        """What is in the database now."""
        with self.workspace.database.transaction(write=False) as connection:
            unit = get_unit(connection, "s", 0)
        assert unit is not None
        return unit

    def run(self) -> Ran:
        """Run ``vlmprobe unit s 0`` to its end."""
        return self.shell("unit", "s", 0, "--home", self.home)

    def start(self) -> Any:
        """Start it."""
        return self.shell.start("unit", "s", 0, "--home", self.home)


@pytest.fixture
def home(tmp_path: Path, shell: Shell) -> Home:
    """Make a home without units."""
    return Home(tmp_path, shell)


def test_commands_run_one_after_the_other_in_the_units_home(home: Home) -> None:
    """The unit is done then: where, by whom, and how often it was begun."""
    home.submit(("runs", "--json"), ("db", "current"))
    ran = home.run().ok()
    assert ran.out.splitlines()[0] == "[]"
    assert "0009" in ran.out.splitlines()[-1]
    unit = home.unit
    assert (unit.state, unit.host, unit.attempts, unit.error) == ("done", socket.gethostname(), 1, None)
    assert unit.ended_at is not None


def test_a_command_that_fails_ends_the_unit_with_its_message(home: Home) -> None:
    """Its exit code is the unit's, and the next command is not begun."""
    home.submit(FAILING, ("runs", "--json"))
    ran = home.run()
    assert ran.code == 2
    assert ran.out == ""
    unit = home.unit
    assert unit.state == "failed"
    assert ran.errors == [f"error: {unit.error}"]
    (row,) = json.loads(home.shell("status", "--home", home.home, "--json").ok().out)
    assert (row["state"], row["error"], row["attempts"]) == ("failed", unit.error, 1)


def test_a_scheduler_that_stops_a_unit_stops_it_once(home: Home, wait_until: Callable[..., None]) -> None:
    """SIGTERM goes to the unit and to its command, and the unit passes it on: the command still ends by itself."""
    home.submit(ENDLESS)
    process = home.start()
    wait_until(lambda: home.unit.state == "running", process)
    (command,) = _children(process.pid, wait_until)
    for pid in (command, process.pid):
        os.kill(pid, signal.SIGTERM)
    ran = home.shell.finish(process)
    assert ran.code == 130
    assert "finished work is kept" in ran.err
    assert home.unit.state == "stopped"


def test_a_command_that_is_killed_is_not_told_by_its_last_line(
    home: Home, wait_until: Callable[..., None]
) -> None:
    """As where memory runs out: no message of its own says why."""
    home.submit(ENDLESS)
    process = home.start()
    wait_until(lambda: home.unit.state == "running", process)
    (command,) = _children(process.pid, wait_until)
    os.kill(command, signal.SIGKILL)
    assert home.shell.finish(process).code == 1
    unit = home.unit
    assert (unit.state, unit.error) == (
        "failed",
        "'vlmprobe status' was ended by signal 9 (out of memory?)",
    )


def test_stops_that_come_together_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second SIGTERM would not wait until what is done is written; one that comes later is meant so."""
    now = iter((100.0, 100.1, 102.0, 110.0))
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    stop = _Interrupt()
    with pytest.raises(KeyboardInterrupt):
        stop(signal.SIGTERM, None)
    stop(signal.SIGTERM, None)
    stop(signal.SIGTERM, None)
    with pytest.raises(KeyboardInterrupt):
        stop(signal.SIGTERM, None)


def _children(pid: int, wait_until: Callable[..., None]) -> list[int]:
    """Wait for a process's own ones, and until they handle SIGTERM."""
    found: list[int] = []

    def look() -> bool:
        found[:] = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
        return bool(found) and all(_catches(child, signal.SIGTERM) for child in found)

    wait_until(look)
    return found


def _catches(pid: int, sign: signal.Signals) -> bool:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (caught,) = (int(line.split()[1], 16) for line in lines if line.startswith("SigCgt"))
    return bool(caught >> (sign - 1) & 1)


def test_a_unit_that_was_cancelled_stops_its_command(
    home: Home, inside: Shell, wait_until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds out when it next says that it is alive."""
    monkeypatch.setattr("vlmprobe.cluster.runner.RENEW_S", 0.2)
    home.submit(ENDLESS)

    def cancel() -> None:
        wait_until(lambda: home.unit.state == "running")
        with home.workspace.database.transaction() as connection:
            cancel_units(connection, "s")

    other = threading.Thread(target=cancel)
    other.start()
    ran = inside("unit", "s", 0, "--home", home.home)
    other.join()
    assert ran.code in {0, 130}
    assert "cancelled, or taken over by another process; stopped" in ran.err
    assert home.unit.state == "cancelled"


@pytest.mark.parametrize(("state", "code"), [("done", 0), ("cancelled", 130)])
def test_a_unit_that_is_over_is_left_alone(home: Home, state: str, code: int) -> None:
    """A job that comes late says so; of what was cancelled, its code is that of a stop."""
    home.submit(FAILING, state=state)
    ran = home.run()
    assert ran.code == code
    assert f"tiny @ 2m: {state}; nothing to do" in ran.err
    assert home.unit.attempts == 0


def test_a_unit_of_a_host_that_is_gone_is_taken_over(home: Home) -> None:
    """Nobody has seen its process for longer than a unit lives."""
    unit = home.submit(("db", "current"))
    home.begun_by(unit, Holder("n1", 11, "a"), ago=120)
    (row,) = json.loads(home.shell("status", "--home", home.home, "--json").ok().out)
    assert (row["state"], row["host"]) == ("lost", "n1")
    home.run().ok()
    assert (home.unit.state, home.unit.attempts) == ("done", 2)


def test_a_unit_that_another_process_runs_is_waited_for(home: Home, wait_until: Callable[..., None]) -> None:
    """A line names it; when it has ended there is nothing to do."""
    unit = home.submit(("db", "current"))
    holder = Holder("n1", 11, "a")
    home.begun_by(unit, holder)
    process = home.start()
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line.startswith("tiny @ 2m: process 11 on n1 runs it; waiting for its end")
    with home.workspace.database.transaction() as connection:
        end_unit(connection, unit, holder, DONE)
    assert "tiny @ 2m: done; nothing to do" in home.shell.finish(process).ok().err


def test_a_unit_that_is_not_there_is_a_wrong_argument(home: Home) -> None:
    """The message names the command that lists them."""
    ran = home.run()
    assert ran.code == 2
    assert "no unit 0 of submission 's'" in ran.errors[0]
    assert "vlmprobe status" in ran.errors[0]
