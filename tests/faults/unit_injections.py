"""What can befall units: each disturbs a trial's hosts, and does what a scheduler or a user does about it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from ..hosts import missing_hosts
from ..postgres_server import find_programs
from .injections import can_mount
from .postgres_gate import PostgresGate

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..command_line import Ran
    from ..hosts import Host
    from .unit_trial import UnitTrial

    UnitFault = Callable[[UnitTrial], None]

__all__ = ["UNIT_FAULTS", "missing_for_units"]

_CLOCK = Path(__file__).with_name("shifted_clock.c")
#: How far the clocks of two hosts are apart from a right one.
_APART_S = 60


def stopped_before_a_run(trial: UnitTrial) -> None:
    """SIGTERM a unit, or all that belongs to it, before there is a run; start it again, as a scheduler does."""
    name, host = trial.submit(), trial.host("n1")
    for _ in range(trial.chance.randint(3, 6) if trial.long else 3):
        process = host.run("unit", name, 0)
        trial.ends_within(process, trial.chance.uniform(0.2, 4 if trial.injected else 2))
        if process.poll() is not None or trial.rows("SELECT run_id FROM runs"):
            break
        trial.injected += 1
        _tell(host, signal.SIGTERM, everyone=trial.chance.random() < 0.5)
        _expect_stop(trial, trial.ended(process))
    for number in (0, 1):
        _complete(trial, host, name, number)


def _tell(host: Host, sign: signal.Signals, *, everyone: bool) -> None:
    for pid in host.processes() if everyone else host.commands():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)


def _expect_stop(trial: UnitTrial, ran: Ran) -> None:
    if ran.code in {-signal.SIGTERM, 1} and "vlmprobe" not in ran.err:
        return  # in its first moments Python itself answers: nothing of ours had begun
    trial.expect(ran, 130)


def _complete(trial: UnitTrial, host: Host, name: str, number: int) -> None:
    """Run a unit to its end; what stopped it early may still end, so that it has to be waited for."""
    trial.out_live(host.name)
    trial.expect(trial.ended(host.run("unit", name, number)), 0)


def node_lost(trial: UnitTrial) -> None:
    """SIGKILL all that runs on a host in the middle of its unit; the scheduler begins that on another host."""
    name = trial.submit()
    first, second, third = (trial.host(host) for host in ("n1", "n2", "n3"))
    lost, other = first.run("unit", name, 0), second.run("unit", name, 1)
    trial.injected += trial.moment(lost, "n1", "vanilla")
    first.kill()
    again = third.run("unit", name, 0)
    trial.out_live("n1")
    for process in (again, other):
        trial.expect(trial.ended(process), 0)


def node_back(trial: UnitTrial) -> None:
    """Freeze a host, or restart it; the scheduler begins its unit on another one, and then the host is back."""
    name = trial.submit()
    first, second, third = (trial.host(host) for host in ("n1", "n2", "n3"))
    zombie, other = first.run("unit", name, 0), second.run("unit", name, 1)
    trial.injected += trial.moment(zombie, "n1", "vanilla")
    if trial.seed % 2:
        first.stop()
        trial.out_live("n1")
        again = third.run("unit", name, 0)
        trial.ends_within(again, trial.chance.uniform(0, 15))
        first.go_on()
        # It is told that the unit is another's, or that its lease is, or finds all done.
        trial.expect(trial.ended(zombie), 0, 1, 130)
    else:
        first.kill()
        again = third.run("unit", name, 0)
        # The same name, other processes: what the dead ones held is not taken for its own.
        restarted = trial.host("n1").run("unit", name, 0)
        trial.out_live("n1")
        trial.expect(trial.ended(restarted), 0)
    for process in (again, other):
        trial.expect(trial.ended(process), 0)


def clocks_apart(trial: UnitTrial) -> None:
    """Let the clocks of two hosts be wrong by a minute, one each way, and of whoever submits; then lose the second.

    The runs are new ones, which a unit that is begun again has to find: by no clock of a host.
    """
    ahead, behind = _clock(trial, _APART_S), _clock(trial, -_APART_S)
    desk = trial.person("ahead")
    name = trial.submitted(desk.start("run", *trial.study, "--new", "--engine", "print", **ahead))
    first, second, third = trial.host("n1", **behind), trial.host("n2", **ahead), trial.host("n3")
    process = first.run("unit", name, 0)
    if trial.moment(process, "n1", "vanilla"):
        trial.injected += 1
        _tell(first, signal.SIGTERM, everyone=False)
    trial.expect(trial.ended(process), 130, 0)
    process = second.run("unit", name, 0)
    running = trial.moment(process, "n2", "vanilla")
    waiting = _waiting(trial, second, third, name)
    # One whose clock is right must not take a lease to have ended that one whose clock is wrong has just taken.
    if running and trial.units(name)[0][1] > 2:
        trial.complaints.append(f"a unit that lives was taken over: {trial.units(name)}")
    trial.injected += running
    second.kill()
    trial.out_live("n2")
    trial.expect(trial.ended(waiting), 0)
    trial.expect(trial.ended(first.run("unit", name, 1)), 0)


def _waiting(trial: UnitTrial, at_work: Host, other: Host, name: str) -> subprocess.Popen[str]:
    """Start the unit on another host, and return when that waits for the first; which stands still meanwhile."""
    at_work.stop()
    process = other.run("unit", name, 0)
    trial.says(process, "waiting for its end")
    return process


def _clock(trial: UnitTrial, seconds: int) -> dict[str, str]:
    """Return the settings of commands whose clock is wrong by so many seconds."""
    library, shift = trial.folder / "shifted_clock.so", trial.folder / f"clock-{seconds}"
    if not library.exists():
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, _CLOCK, "-ldl"], check=True)
    shift.write_bytes(struct.pack("<q", seconds))
    return {"LD_PRELOAD": str(library), "SHIFTED_CLOCK": str(shift)}


def database_away(trial: UnitTrial) -> None:
    """Let the server refuse all connections for two minutes, while units run and one waits for another."""
    name, gate = trial.submit(), PostgresGate(trial.url)
    trial.stack.callback(gate.close)
    through = {"VLMPROBE_DATABASE_URL": gate.url}
    first, second, third = (trial.host(host, **through) for host in ("n1", "n2", "n3"))
    processes = [first.run("unit", name, 0), second.run("unit", name, 1)]
    trial.injected += trial.moment(processes[0], "n1", "vanilla")
    # Who never reached a server does not wait for it.
    processes.append(_waiting(trial, first, third, name))
    first.go_on()
    gate.shut()
    trial.ends_within(processes[0], 120 if trial.long else 8)
    gate.open()
    # After two minutes the lease of the first has ended; who waits may have it before it is renewed.
    for process in processes:
        trial.expect(trial.ended(process), 0, 130)


def disk_full(trial: UnitTrial) -> None:
    """Fill the disk of one host, a small tmpfs that the others see; its unit fails, and the command is given again."""
    home = trial.folder / "n1" / "home"
    home.mkdir(parents=True)
    # Before the hosts start, which have mounts of their own from then on.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", home], check=True)
    trial.stack.callback(subprocess.run, ["umount", "--lazy", home], check=True)
    name = trial.submit()
    first, second, third = (trial.host(host) for host in ("n1", "n2", "n3"))
    process, other = first.run("unit", name, 0), second.run("unit", name, 1)
    trial.injected += trial.moment(process, "n1", "vanilla")
    ballast, free = home / "ballast", os.statvfs(home)
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as stream:
        stream.write(bytes(free.f_bavail * free.f_frsize))
    ran = trial.ended(process)
    trial.expect(ran, 1, 0)
    trial.expect(trial.ended(other), 0)
    if ran.code:
        state, _, error = trial.units(name)[0]
        if state != "failed" or "no space left" not in (error or ""):
            trial.complaints.append(f"its status does not say that the disk is full: {state}, {error}")
        trial.again(third)


def two_submissions(trial: UnitTrial) -> None:
    """Let two people submit the same study at the same moment, and run all units of both at once."""
    people = [trial.person(name) for name in ("desk", "laptop")]
    processes = [person.start("run", *trial.study, "--engine", "print") for person in people]
    names = [trial.submitted(process) for process in processes]
    hosts = iter([trial.host(f"n{number}") for number in range(1, 5)])
    trial.injected += 1
    for process in [next(hosts).run("unit", name, number) for name in names for number in (0, 1)]:
        trial.expect(trial.ended(process), 0)
    for name in names:
        if {state for state, *_ in trial.units(name).values()} != {"done"}:
            trial.complaints.append(f"units of {name}: {trial.units(name)}")


def missing_for_units(fault: str, folder: Path) -> str | None:
    """Say what a fault needs that is not to be had on this machine; None if it can be injected."""
    if find_programs() is None:
        return "no Postgres is installed"
    if (why := missing_hosts()) is not None:
        return why
    if fault == "a full disk on one node" and not can_mount(folder):
        return "it mounts a small file system, which takes root"
    if fault == "clocks a minute apart" and shutil.which("cc") is None:
        return "it compiles a few lines of C, which takes cc"
    return None


#: By the name that the table shows; how many trials of each the long form runs.
UNIT_FAULTS: dict[str, tuple[UnitFault, int]] = {
    "SIGTERM before a run exists": (stopped_before_a_run, 3),
    "a node lost": (node_lost, 3),
    "a node that comes back": (node_back, 4),
    "clocks a minute apart": (clocks_apart, 2),
    "database away for two minutes": (database_away, 2),
    "a full disk on one node": (disk_full, 3),
    "two submissions at once": (two_submissions, 3),
}
