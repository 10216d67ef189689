"""The lease that keeps a second process off a run."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.errors import LeaseHeldError
from vlmprobe.store.lease import LEASE_SECONDS, check_foreign_lease, describe_self, hold_lease
from vlmprobe.store.parts import Part

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys
from pathlib import Path
from vlmprobe.store.lease import hold_lease
from vlmprobe.store.parts import Part
with hold_lease(Path(sys.argv[1]), "key"):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_second_process_is_told_who_holds_the_run(tmp_path: Path, child: Any) -> None:
    """The message names process and host, and what one can do."""
    holder = child(HOLD, tmp_path / "x.duckdb")
    assert holder.read() == "held"
    who = f"process {holder.pid} on {re.escape(socket.gethostname())}"
    with (
        pytest.raises(LeaseHeldError, match=f"extracted by {who}; wait for it, stop it, or .* --new"),
        hold_lease(tmp_path / "x.duckdb", "key"),
    ):
        pass
    holder.finish()
    with hold_lease(tmp_path / "x.duckdb", "key"):
        pass


def test_a_killed_holder_holds_nothing(tmp_path: Path, child: Any) -> None:
    """After SIGKILL the run can be resumed at once."""
    holder = child(HOLD, tmp_path / "x.duckdb")
    assert holder.read() == "held"
    holder.kill()
    with hold_lease(tmp_path / "x.duckdb", "key"):
        pass


def test_an_exception_releases_the_lease(tmp_path: Path) -> None:
    """A run that broke can be started again by the same process."""
    with pytest.raises(KeyError), hold_lease(tmp_path / "x.duckdb", "key"):
        raise KeyError
    with hold_lease(tmp_path / "x.duckdb", "key"):
        pass


def test_a_second_run_of_the_same_key_has_a_lease_of_its_own(tmp_path: Path) -> None:
    """What ``--new`` makes may run beside the first, as the message above says."""
    key = "0" * 64
    with (
        hold_lease(tmp_path / "x.duckdb", key),
        hold_lease(tmp_path / "x.duckdb", f"{key}#2"),
        hold_lease(tmp_path / "y.duckdb", key),
    ):
        pass


def test_parts_are_held_beside_each_other_and_by_one_each(tmp_path: Path) -> None:
    """The same part, a part of another number of parts, and the whole run are refused with the holder's name."""
    path, who = tmp_path / "x.duckdb", f"process {os.getpid()} on {re.escape(socket.gethostname())}"
    with hold_lease(path, "key", part=Part(2, 1)), hold_lease(path, "key", part=Part(2, 2)):
        for part in (Part(2, 2), Part(3, 1), None):
            with (
                pytest.raises(
                    LeaseHeldError, match=f"part ./2 of this run is being extracted by {who}; wait"
                ),
                hold_lease(path, "key", part=part),
            ):
                pass
        # Another run, and the second one of this key, know nothing of it.
        with hold_lease(path, "key#2"), hold_lease(path, "another", part=Part(3, 1)):
            pass
    with (
        hold_lease(path, "key"),
        pytest.raises(LeaseHeldError, match=f"^this run is being extracted by {who}; wait"),
        hold_lease(path, "key", part=Part(2, 1)),
    ):
        pass
    with hold_lease(path, "key", part=Part(3, 3)):
        pass


def test_a_killed_holder_of_a_part_holds_nothing(tmp_path: Path, child: Any) -> None:
    """Until then the whole run is refused; after SIGKILL anything can be taken at once."""
    holder = child(HOLD.replace('"key")', '"key", part=Part(2, 1))'), tmp_path / "x.duckdb")
    assert holder.read() == "held"
    with (
        pytest.raises(
            LeaseHeldError, match=f"part 1/2 of this run is being extracted by process {holder.pid} "
        ),
        hold_lease(tmp_path / "x.duckdb", "key"),
    ):
        pass
    holder.kill()
    for part in (Part(2, 1), Part(3, 1), None):
        with hold_lease(tmp_path / "x.duckdb", "key", part=part):
            pass


@pytest.mark.parametrize("wanted", [Part(2, 1), Part(3, 1), None])
def test_who_waits_for_a_part_has_it_when_it_is_given_up(
    tmp_path: Path, child: Any, wanted: Part | None
) -> None:
    """One line says for whom."""
    holder = child(HOLD.replace('"key")', '"key", part=Part(2, 1))'), tmp_path / "x.duckdb")
    assert holder.read() == "held"
    said: list[str] = []

    def hear(line: str) -> None:
        said.append(line)
        holder.process.stdin.write("\n")
        holder.process.stdin.flush()

    with hold_lease(tmp_path / "x.duckdb", "key", part=wanted, wait=hear):
        pass
    assert len(said) == 1
    assert f"part 1/2 of this run is being extracted by process {holder.pid} " in said[0]
    assert said[0].endswith("; waiting for it")


def _lease(host: str, age: float) -> str:
    return json.dumps({"host": host, "pid": 7, "renewed": time.time() - age})


def test_another_host_that_renewed_a_moment_ago_is_at_work() -> None:
    """A flock is local, so the row's heartbeat decides."""
    with pytest.raises(LeaseHeldError, match="process 7 on elsewhere"):
        check_foreign_lease(_lease("elsewhere", age=LEASE_SECONDS - 10))


@pytest.mark.parametrize("lease", [None, "", "not JSON", "7", '{"host": "elsewhere"}'])
def test_an_unreadable_lease_stops_nobody(lease: str | None) -> None:
    """On this host the flock has decided already."""
    check_foreign_lease(lease)


@pytest.mark.parametrize(
    ("here", "age"),
    [(False, LEASE_SECONDS + 10), (False, -LEASE_SECONDS - 10), (True, 0)],
    ids=["stale", "clock set back since", "local"],
)
def test_a_stale_or_local_lease_stops_nobody(here: bool, age: float) -> None:
    """Elsewhere it has to be renewed; here the flock has decided already."""
    check_foreign_lease(_lease(socket.gethostname() if here else "elsewhere", age=age))


def test_a_lease_says_who_and_when() -> None:
    """What the runs row shows to other hosts."""
    lease = json.loads(describe_self())
    assert (lease["host"], lease["pid"]) == (socket.gethostname(), os.getpid())
    assert abs(lease["renewed"] - time.time()) < 5
