"""The rows that leases are in: one of the run, and one of each of its parts; and what a lease says of its holder."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmprobe.store.identity import utc_now
from vlmprobe.store.parts import Part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

__all__ = [
    "LeaseRow",
    "add_part",
    "describe_holder",
    "describe_process",
    "find_run_id",
    "is_alive",
    "is_held",
    "is_of_here",
    "read_leases",
    "who",
    "write_lease",
]

_READ = """
SELECT NULL AS n_parts, NULL AS part, lease FROM runs WHERE run_id = :id
UNION ALL
SELECT n_parts, part, lease FROM run_parts WHERE run_id = :id
"""
_OF_PART = "run_id = :id AND n_parts = :n_parts AND part = :part"


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """The lease of a run, or of one of its parts."""

    part: Part | None
    """None = the whole run."""
    holder: dict[str, Any] | None
    """See :func:`describe_holder`; None if nobody took it, or it was given up."""

    @property
    def token(self) -> str | None:
        """What its holder is known by."""
        return None if self.holder is None else self.holder.get("token")

    @property
    def what(self) -> str:
        """What it is the lease of, as messages call it."""
        return "this run" if self.part is None else f"part {self.part} of this run"


def find_run_id(connection: Connection, key: str) -> str | None:
    """Return the id of the run of a key; None if there is none."""
    from sqlalchemy import text

    found: str | None = connection.execute(
        text("SELECT run_id FROM runs WHERE run_key = :key"), {"key": key}
    ).scalar()
    return found


def read_leases(connection: Connection, run_id: str) -> Sequence[LeaseRow]:
    """Return the leases of a run: its own, then those of its parts, in order; none if there is no such run."""
    from sqlalchemy import text

    rows = [
        LeaseRow(None if row.n_parts is None else Part(row.n_parts, row.part), _parsed(row.lease))
        for row in connection.execute(text(_READ), {"id": run_id})
    ]
    if all(row.part is not None for row in rows):
        return ()
    return sorted(rows, key=lambda row: (row.part is not None, row.part or Part(0, 0)))


def _parsed(lease: str | None) -> dict[str, Any] | None:
    try:
        holder = json.loads(lease) if lease else None
    except ValueError:
        return None
    return holder if isinstance(holder, dict) else None


def add_part(connection: Connection, run_id: str, part: Part) -> None:
    """Make the row of a part, unless it is there; a complete run's parts are complete."""
    from sqlalchemy import text

    statement = f"""
        INSERT INTO run_parts (run_id, n_parts, part, status, updated_at)
        SELECT run_id, :n_parts, :part, CASE status WHEN 'complete' THEN status ELSE 'created' END, :now
        FROM runs
        WHERE run_id = :id AND NOT EXISTS (SELECT 1 FROM run_parts WHERE {_OF_PART})
    """  # noqa: S608 - our own words
    connection.execute(text(statement), _named(run_id, part) | {"now": utc_now()})


def write_lease(connection: Connection, run_id: str, part: Part | None, lease: str | None) -> None:
    """Write who holds a lease, or that nobody does; the row is there."""
    from sqlalchemy import text

    where = "UPDATE runs SET lease = :lease WHERE run_id = :id"
    if part is not None:
        where = f"UPDATE run_parts SET lease = :lease WHERE {_OF_PART}"  # noqa: S608 - our own words
    connection.execute(text(where), _named(run_id, part) | {"lease": lease})


def _named(run_id: str, part: Part | None) -> dict[str, Any]:
    return {"id": run_id} if part is None else {"id": run_id, "n_parts": part.n_parts, "part": part.number}


def describe_holder(token: str, expires: float) -> str:
    """Return the JSON that says that this process holds a lease until then, by the database's clock."""
    return json.dumps({**describe_process(), "token": token, "expires": round(expires, 3)})


def describe_process() -> dict[str, Any]:
    """Return what this process is known by: :func:`is_alive` finds out whether it has ended."""
    pid = os.getpid()
    return {
        "host": socket.gethostname(),
        "pid": pid,
        "machine": _machine(),
        "started": _started(pid),
    }


def is_held(holder: dict[str, Any] | None, now: float) -> bool:
    """Return whether a lease has not ended, and its holder is not known to be dead."""
    if holder is None:
        return False
    expires = holder.get("expires")
    return isinstance(expires, int | float) and expires > now and is_alive(holder)


def is_alive(holder: dict[str, Any]) -> bool:
    """Return whether a process may be alive: one that died here is known to be dead, one elsewhere is not."""
    return not is_of_here(holder) or _started(holder["pid"]) == holder.get("started")


def is_of_here(holder: dict[str, Any]) -> bool:
    """Return whether a process is of this machine, so that it can be looked for."""
    return holder.get("machine") == _machine() and isinstance(holder.get("pid"), int)


def who(holder: dict[str, Any]) -> str:
    """Return what messages call a holder."""
    return f"process {holder.get('pid', '?')} on {holder.get('host', 'another host')}"


def _machine() -> str:
    """Name this boot of this machine, and the space that its process numbers are in: containers have their own."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """Return when a process of this machine started, in ticks since the boot; None if there is none of that number."""
    try:
        # The name, in parentheses, may contain anything.
        fields = (
            Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        )
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
