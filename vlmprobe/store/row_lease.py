"""A lease in a row, for databases that several machines share, and the fence that goes with it.

Who takes the lease of a run, or of one of its parts, writes a token of its own into the row; the database's clock says
when it ends. Whatever writes for a run checks in the same transaction that the token is still there. A process that was
stopped or cut off for longer than the lease lasts, and then goes on, therefore writes nothing: someone else may have
the run, or the part, by now.
"""

from __future__ import annotations

import secrets
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.errors import LeaseHeldError, LeaseLostError, VlmprobeError
from vlmprobe.store.clock import clock
from vlmprobe.store.lease_rows import (
    LeaseRow,
    add_part,
    describe_holder,
    find_run_id,
    is_held,
    read_leases,
    who,
    write_lease,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Connection

    from vlmprobe.store.parts import Part
    from vlmprobe.store.postgres_store import PostgresStore

__all__ = [
    "LEASES_OPTION",
    "LIFE_S",
    "RENEW_S",
    "HeldLease",
    "HeldLeases",
    "check_lease",
    "has_row_leases",
    "hold_row_lease",
]

#: The execution option of a connection to a database with leases of this kind: those that this process holds.
LEASES_OPTION = "vlmprobe_leases"
#: A holder that has not renewed for this long has lost its lease; it renews several times meanwhile.
LIFE_S, RENEW_S = 90.0, 20.0
#: How long ``--wait`` waits before it looks again.
LOOK_AGAIN_S = 3.0


@dataclass(frozen=True, slots=True)
class HeldLease:
    """A lease that this process holds."""

    token: str
    part: Part | None
    """None = the whole run."""


class HeldLeases:
    """The leases that this process holds, by run, of which it has one part at a time; any thread may look."""

    def __init__(self) -> None:
        """Hold none."""
        self._lock = threading.Lock()
        self._held: dict[str, HeldLease] = {}

    def of(self, run_id: str) -> HeldLease | None:
        """Return the lease of a run or of its part; None if there is none of ours."""
        with self._lock:
            return self._held.get(run_id)

    def add(self, run_id: str, held: HeldLease) -> None:
        """Note that a lease is ours."""
        with self._lock:
            self._held[run_id] = held

    def remove(self, run_id: str) -> None:
        """Note that it is given up."""
        with self._lock:
            self._held.pop(run_id, None)


def has_row_leases(connection: Connection) -> bool:
    """Return whether the leases of a database are in its rows, and not in files beside it."""
    return LEASES_OPTION in connection.get_execution_options()


def check_lease(connection: Connection, run_id: str) -> None:
    """Check, before writing for a run in this transaction, that no other process has its lease.

    Who holds a part writes for its pairs beside those that hold the others. Does nothing for a DuckDB file, whose
    leases are locks that end with their process.

    Raises:
        LeaseLostError: this process had it, and another one took it, or removed the run.
        LeaseHeldError: another process has it, or a part of it.
    """
    leases: HeldLeases | None = connection.get_execution_options().get(LEASES_OPTION)
    if leases is None:
        return
    ours = leases.of(run_id)
    rows = read_leases(connection, run_id)
    if ours is None:
        _check_free(rows, clock(connection))
        return
    if not rows:
        raise LeaseLostError(
            f"run {run_id} was removed while it was being extracted; nothing more was written"
        )
    of_ours = next((row for row in rows if row.part == ours.part), LeaseRow(ours.part, None))
    if of_ours.token != ours.token:
        # The part's may be free, while someone else has the whole run, or a part of another number of parts.
        other = _in_the_way(rows, ours.part, clock(connection))
        holder = of_ours.holder or (None if other is None else other.holder)
        by = "another process, which has finished" if holder is None else who(holder)
        what = f"run {run_id}" if ours.part is None else f"part {ours.part} of run {run_id}"
        raise LeaseLostError(
            f"this process was stopped or cut off for so long that its lease of {what} went to {by}; nothing "
            "more was written; run the same command again to go on"
        )


def _check_free(rows: Sequence[LeaseRow], now: float) -> None:
    held = _in_the_way(rows, None, now)
    if held is not None:
        raise LeaseHeldError(_held_by(held, now))


def _in_the_way(rows: Sequence[LeaseRow], part: Part | None, now: float) -> LeaseRow | None:
    """Return the first lease that someone holds and that excludes the one of a part, or of the whole run."""
    return next((row for row in rows if _exclude(row.part, part) and is_held(row.holder, now)), None)


def _exclude(one: Part | None, other: Part | None) -> bool:
    return one is None or other is None or one == other or one.n_parts != other.n_parts


@contextmanager
def hold_row_lease(
    database: PostgresStore,
    leases: HeldLeases,
    key: str,
    *,
    part: Part | None = None,
    wait: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Hold the lease of a run key, renewed by a thread; see :meth:`vlmprobe.store.engine.Database.lease`.

    Who may only read the database keeps nobody off, but is kept off.

    Raises:
        LeaseHeldError: another process holds it, or one that excludes it; the message says which, and for how long.
        VlmprobeError: there is no such run any more.
    """
    ours = HeldLease(secrets.token_hex(8), part)
    run_id = _take(database, key, ours, wait)
    if not database.is_writable:
        yield
        return
    leases.add(run_id, ours)
    over = threading.Event()
    thread = threading.Thread(
        target=_renew, args=(database, run_id, ours, over), name="vlmprobe-lease", daemon=True
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
            _put(database, run_id, ours, renew=False)


def _take(database: PostgresStore, key: str, ours: HeldLease, wait: Callable[[str], None] | None) -> str:
    told: set[str | None] = set()
    while True:
        with database.transaction() as connection:
            run_id = find_run_id(connection, key)
            if run_id is None:
                raise VlmprobeError(
                    f"a run was removed from {database.name} meanwhile; run the same command again"
                )
            rows, now = read_leases(connection, run_id), clock(connection)
            held = _in_the_way(rows, ours.part, now)
            if held is None:
                if database.is_writable:
                    _write(connection, run_id, rows, ours, now)
                return run_id
        if wait is None:
            raise LeaseHeldError(_held_by(held, now))
        if held.token not in told:
            told.add(held.token)
            wait(_held_by(held, now, waiting=True))
        time.sleep(LOOK_AGAIN_S)


def _write(
    connection: Connection, run_id: str, rows: Sequence[LeaseRow], ours: HeldLease, now: float
) -> None:
    for row in rows:
        # A process that was stopped may still hold what has ended, and would find its token there.
        if row.holder is not None and _exclude(row.part, ours.part):
            write_lease(connection, run_id, row.part, None)
    if ours.part is not None:
        add_part(connection, run_id, ours.part)
    write_lease(connection, run_id, ours.part, describe_holder(ours.token, now + LIFE_S))


def _renew(database: PostgresStore, run_id: str, ours: HeldLease, over: threading.Event) -> None:
    while not over.wait(RENEW_S):
        # Whatever fails now may work at the next turn, and who writes checks the token anyway.
        with suppress(Exception):
            _put(database, run_id, ours, renew=True)


def _put(database: PostgresStore, run_id: str, ours: HeldLease, *, renew: bool) -> None:
    """Renew or give up a lease that still has our token; without waiting for a server that is away."""
    with database.transaction(patient=False) as connection:
        rows = read_leases(connection, run_id)
        if any(row.part == ours.part and row.token == ours.token for row in rows):
            lease = describe_holder(ours.token, clock(connection) + LIFE_S) if renew else None
            write_lease(connection, run_id, ours.part, lease)


def _held_by(row: LeaseRow, now: float, *, waiting: bool = False) -> str:
    holder = row.holder or {}
    rest = max(1, round(float(holder["expires"]) - now))
    what = (
        f"{row.what} is being extracted by {who(holder)}, whose lease ends in {rest} s unless it is renewed"
    )
    if waiting:
        return f"{what}; waiting for it"
    # Another run is no way out for who has, or wants, a part of this one.
    more = "stop it, or start another with --new" if row.part is None else "or stop it"
    return f"{what}; wait for it with --wait, {more}"
