"""A lease keeps a second process off a run in a DuckDB file; ``row_lease.py`` does so in a database of a team.

On one host an flock decides: it ends with its process, however that ends, so a killed run can be resumed at once.
Processes that extract parts of a run share the run's own lock, and each has one of its part alone.
For a file that another host shares, the runs row names the holder and a heartbeat (flock is local).
"""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from vlmprobe.errors import LeaseHeldError
from vlmprobe.safe_names import safe_name
from vlmprobe.store.engine import file_lock
from vlmprobe.store.lease_rows import describe_process, is_alive, is_of_here
from vlmprobe.store.parts import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["LEASE_SECONDS", "check_foreign_lease", "describe_self", "hold_lease", "may_be_alive"]

#: A holder on another host that has not renewed for this long is taken to be gone.
LEASE_SECONDS = 300.0
#: How long who waits for a part waits before it looks again.
_LOOK_AGAIN_S = 1.0
_TODO = "wait for it, stop it, or start another with --new"
_OF_PARTS = "wait for it with --wait, or stop it"


def describe_self() -> str:
    """Return the JSON that identifies this process in the runs row and the lock file."""
    return json.dumps({**describe_process(), "renewed": round(time.time(), 3)})


def may_be_alive(holder: dict[str, Any]) -> bool:
    """Return whether a process that has a lease in a DuckDB file is not known to be gone.

    One of this machine is there or not. Of another host, and of one that an earlier version described, it counts when
    it renewed last; who has a part does not say.
    """
    if not is_alive(holder):
        return False
    if is_of_here(holder) or "renewed" not in holder:
        return True
    return _is_fresh(holder)


@contextmanager
def hold_lease(
    database: Path, key: str, *, part: Part | None = None, wait: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Hold the lease of a run key on this host; see :meth:`vlmprobe.store.engine.Database.lease`.

    Args:
        database: the DuckDB file.
        key: the run's.
        part: which of its parts; None = the whole run.
        wait: wait while another process holds it, after calling this with one line; None = raise at once.

    Raises:
        LeaseHeldError: another process holds it, or a lease that excludes it; the message names it.
    """
    # The whole key: a second run of one key (``--new``) differs only in its suffix.
    locks = _Locks(database.with_name(database.name + ".leases"), safe_name(key.replace("#", "-"), "run key"))
    with ExitStack() as stack:
        descriptor = locks.take_whole(stack, wait) if part is None else locks.take_part(stack, part, wait)
        if descriptor is not None:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, describe_self().encode(), 0)
        yield


class _Locks:
    """The lock files of one run: its own, which parts share, and one for each part."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._whole = folder / f"{name}.lock"
        # Held for a moment by who looks which parts are held, so that nobody takes one meanwhile.
        self._looking = folder / f"{name}-parts.lock"

    def take_whole(self, stack: ExitStack, wait: Callable[[str], None] | None) -> int | None:
        try:
            return stack.enter_context(file_lock(self._whole, wait=False))
        except BlockingIOError:
            with file_lock(self._looking):
                held = next(iter(self._held_parts().values()), None) or _held_by(_text(self._whole))
        if wait is None:
            raise LeaseHeldError(held)
        wait(_waiting(held))
        return stack.enter_context(file_lock(self._whole))

    def take_part(self, stack: ExitStack, part: Part, wait: Callable[[str], None] | None) -> int | None:
        told = ""
        while True:
            try:
                with ExitStack() as locks:
                    descriptor = self._try_part(locks, part)
                    stack.push(locks.pop_all())
                    return descriptor
            except LeaseHeldError as error:
                if wait is None:
                    raise
                if (line := _waiting(str(error))) != told:
                    told = line
                    wait(line)
            time.sleep(_LOOK_AGAIN_S)

    def _try_part(self, stack: ExitStack, part: Part) -> int | None:
        with file_lock(self._looking):
            try:
                stack.enter_context(file_lock(self._whole, wait=False, shared=True))
            except BlockingIOError:
                raise LeaseHeldError(_held_by(_text(self._whole), todo=_OF_PARTS)) from None
            for other, held in self._held_parts().items():
                if other == part or other.n_parts != part.n_parts:
                    raise LeaseHeldError(held)
            return stack.enter_context(file_lock(self._path(part), wait=False))

    def _held_parts(self) -> dict[Part, str]:
        """Return which parts are held, each with the line that says by whom."""
        held = {}
        for path in sorted(self._folder.glob(f"{self._name}-part-*.lock")):
            number, _, n_parts = path.stem.removeprefix(f"{self._name}-part-").partition("-of-")
            part = Part(int(n_parts), int(number))
            try:
                with file_lock(path, wait=False):
                    pass
            except BlockingIOError:
                held[part] = _held_by(_text(path), f"part {part} of this run", _OF_PARTS)
        return held

    def _path(self, part: Part) -> Path:
        return self._folder / f"{self._name}-part-{part.number}-of-{part.n_parts}.lock"


def check_foreign_lease(lease: str | None) -> None:
    """Check that no process on another host has renewed a run's lease recently.

    Raises:
        LeaseHeldError: one has.
    """
    if not lease:
        return
    try:
        holder = json.loads(lease)
        elsewhere = holder["host"] != socket.gethostname()
        fresh = _is_fresh(holder)
    except (ValueError, KeyError, TypeError):
        return
    if elsewhere and fresh:
        raise LeaseHeldError(_held_by(lease))


def _is_fresh(holder: dict[str, Any]) -> bool:
    # abs(): a stamp in the future, from a clock that was set back, must not lock the run until then.
    return abs(time.time() - float(holder["renewed"])) < LEASE_SECONDS


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _waiting(held: str) -> str:
    return f"{held.partition(';')[0]}; waiting for it"


def _held_by(text: str, what: str = "this run", todo: str = _TODO) -> str:
    try:
        holder = json.loads(text)
        who = f"process {holder['pid']} on {holder['host']}"
    except (ValueError, KeyError, TypeError):
        who = "another process"
    return f"{what} is being extracted by {who}; {todo}"
