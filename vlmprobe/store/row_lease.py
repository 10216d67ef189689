"""A lease in the runs row, for databases that several machines share, and the fence that goes with it.

Who takes a lease writes a token of its own into the row; the database's clock says when it ends. Whatever writes for a
run checks in the same transaction that the token is still there. A process that was stopped or cut off for longer
than the lease lasts, and then goes on, therefore writes nothing: someone else may have the run by now.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmprobe.errors import LeaseHeldError, LeaseLostError, VlmprobeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

    from vlmprobe.store.postgres_store import PostgresStore

__all__ = ["LEASES_OPTION", "HeldLeases", "check_lease", "has_row_leases", "hold_row_lease"]

#: The execution option of a connection to a database with leases of this kind: those that this process holds.
LEASES_OPTION = "vlmprobe_leases"
#: A holder that has not renewed for this long has lost its lease; it renews several times meanwhile.
LIFE_S, RENEW_S = 90.0, 20.0
#: How long ``--wait`` waits before it looks again.
LOOK_AGAIN_S = 3.0
_LEASE_SQL = (
    "SELECT run_id, lease, CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION) AS now FROM runs"
)


class HeldLeases:
    """The tokens of the leases that this process holds, by run; any thread may look."""

    def __init__(self) -> None:
        """Hold none."""
        self._lock = threading.Lock()
        self._tokens: dict[str, str] = {}

    def token(self, run_id: str) -> str | None:
        """Return the token of a run's lease; None if it is not ours."""
        with self._lock:
            return self._tokens.get(run_id)

    def add(self, run_id: str, token: str) -> None:
        """Note that a run's lease is ours."""
        with self._lock:
            self._tokens[run_id] = token

    def remove(self, run_id: str) -> None:
        """Note that it is given up."""
        with self._lock:
            self._tokens.pop(run_id, None)


def has_row_leases(connection: Connection) -> bool:
    """Return whether the leases of a database are in its rows, and not in files beside it."""
    return LEASES_OPTION in connection.get_execution_options()


def check_lease(connection: Connection, run_id: str) -> None:
    """Check, before writing for a run in this transaction, that no other process has its lease.

    Does nothing for a DuckDB file, whose leases are locks that end with their process.

    Raises:
        LeaseLostError: this process had it, and another one took it, or removed the run.
        LeaseHeldError: another process has it.
    """
    leases: HeldLeases | None = connection.get_execution_options().get(LEASES_OPTION)
    if leases is None:
        return
    token = leases.token(run_id)
    found = _look(connection, "run_id", run_id)
    if found is None:
        if token is not None:
            raise LeaseLostError(
                f"run {run_id} was removed while it was being extracted; nothing more was written"
            )
        return
    _, held, now = found
    if token is not None and (held is None or held.get("token") != token):
        who = "another process, which has finished" if held is None else _who(held)
        raise LeaseLostError(
            f"this process was stopped or cut off for so long that its lease of run {run_id} went to {who}; nothing "
            "more was written; run the same command again to go on"
        )
    if token is None and held is not None and _is_held(held, now):
        raise LeaseHeldError(_held_by(held, now))


@contextmanager
def hold_row_lease(
    database: PostgresStore, leases: HeldLeases, key: str, *, wait: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Hold the lease of a run key, renewed by a thread; see :meth:`vlmprobe.store.engine.Database.lease`.

    Who may only read the database keeps nobody off, but is kept off.

    Raises:
        LeaseHeldError: another process holds it; the message says which, and for how long.
        VlmprobeError: there is no such run any more.
    """
    token = secrets.token_hex(8)
    run_id = _take(database, key, token, wait)
    if not database.is_writable:
        yield
        return
    leases.add(run_id, token)
    over = threading.Event()
    thread = threading.Thread(
        target=_renew, args=(database, run_id, token, over), name="vlmprobe-lease", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        leases.remove(run_id)
        # If the database is away, the lease ends by itself.
        with suppress(Exception):
            _put(database, run_id, token, None)


def _take(database: PostgresStore, key: str, token: str, wait: Callable[[str], None] | None) -> str:
    told: set[Any] = set()
    while True:
        with database.transaction() as connection:
            found = _look(connection, "run_key", key)
            if found is None:
                raise VlmprobeError(
                    f"a run was removed from {database.name} meanwhile; run the same command again"
                )
            run_id, held, now = found
            if held is None or not _is_held(held, now):
                if database.is_writable:
                    _write(connection, run_id, _own(token, now))
                return run_id
        if wait is None:
            raise LeaseHeldError(_held_by(held, now))
        if held.get("token") not in told:
            told.add(held.get("token"))
            wait(_held_by(held, now, waiting=True))
        time.sleep(LOOK_AGAIN_S)


def _renew(database: PostgresStore, run_id: str, token: str, over: threading.Event) -> None:
    while not over.wait(RENEW_S):
        # Whatever fails now may work at the next turn, and who writes checks the token anyway.
        with suppress(Exception):
            _put(database, run_id, token, token)


def _put(database: PostgresStore, run_id: str, token: str, to: str | None) -> None:
    """Renew or give up a lease that still has our token; without waiting for a server that is away."""
    with database.transaction(patient=False) as connection:
        found = _look(connection, "run_id", run_id)
        if found is not None and found[1] is not None and found[1].get("token") == token:
            _write(connection, run_id, None if to is None else _own(to, found[2]))


def _look(connection: Connection, column: str, value: str) -> tuple[str, dict[str, Any] | None, float] | None:
    """Return a run's id, the holder of its lease and the database's clock; None without such a run."""
    from sqlalchemy import text

    row = connection.execute(text(f"{_LEASE_SQL} WHERE {column} = :value"), {"value": value}).first()
    if row is None:
        return None
    try:
        held = json.loads(row.lease) if row.lease else None
    except ValueError:
        held = None
    return row.run_id, held if isinstance(held, dict) else None, row.now


def _write(connection: Connection, run_id: str, lease: str | None) -> None:
    from sqlalchemy import text

    connection.execute(
        text("UPDATE runs SET lease = :lease WHERE run_id = :id"), {"lease": lease, "id": run_id}
    )


def _own(token: str, now: float) -> str:
    pid = os.getpid()
    return json.dumps(
        {
            "host": socket.gethostname(),
            "pid": pid,
            "machine": _machine(),
            "started": _started(pid),
            "token": token,
            "expires": round(now + LIFE_S, 3),
        }
    )


def _is_held(held: dict[str, Any], now: float) -> bool:
    expires = held.get("expires")
    if not isinstance(expires, int | float) or expires <= now:
        return False
    # A process that died here is known to be dead at once; one on another machine only when its lease ends.
    here = held.get("machine") == _machine() and isinstance(held.get("pid"), int)
    return not here or _started(held["pid"]) == held.get("started")


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


def _who(held: dict[str, Any]) -> str:
    return f"process {held.get('pid', '?')} on {held.get('host', 'another host')}"


def _held_by(held: dict[str, Any], now: float, *, waiting: bool = False) -> str:
    rest = max(1, round(float(held["expires"]) - now))
    what = f"this run is being extracted by {_who(held)}, whose lease ends in {rest} s unless it is renewed"
    return (
        f"{what}; waiting for it"
        if waiting
        else f"{what}; wait for it with --wait, stop it, or start another with --new"
    )
