"""A lease keeps a second process off a run in a DuckDB file; ``row_lease.py`` does so in a database of a team.

On one host an flock decides: it ends with its process, however that ends, so a killed run can be resumed at once.
For a file that another host shares, the runs row names the holder and a heartbeat (flock is local).
"""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from vlmprobe.errors import LeaseHeldError
from vlmprobe.safe_names import safe_name
from vlmprobe.store.engine import file_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["LEASE_SECONDS", "check_foreign_lease", "describe_self", "hold_lease"]

#: A holder on another host that has not renewed for this long is taken to be gone.
LEASE_SECONDS = 300.0


def describe_self() -> str:
    """Return the JSON that identifies this process in the runs row and the lock file."""
    return json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "renewed": round(time.time(), 3)})


@contextmanager
def hold_lease(database: Path, key: str, *, wait: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold the lease of a run key on this host.

    Args:
        database: the DuckDB file.
        key: the run's.
        wait: wait while another process holds it, after calling this with one line; None = raise at once.

    Raises:
        LeaseHeldError: another process holds it; the message names it.
    """
    # The whole key: a second run of one key (``--new``) differs only in its suffix.
    name = f"{safe_name(key.replace('#', '-'), 'run key')}.lock"
    path = database.with_name(database.name + ".leases") / name
    with ExitStack() as stack:
        try:
            descriptor = stack.enter_context(file_lock(path, wait=False))
        except BlockingIOError:
            held = _held_by(path.read_text(encoding="utf-8", errors="replace"))
            if wait is None:
                raise LeaseHeldError(held) from None
            wait(f"{held.partition(';')[0]}; waiting for it")
            descriptor = stack.enter_context(file_lock(path))
        if descriptor is not None:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, describe_self().encode(), 0)
        yield


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
        # abs(): a stamp in the future, from a clock that was set back, must not lock the run until then.
        fresh = abs(time.time() - float(holder["renewed"])) < LEASE_SECONDS
    except (ValueError, KeyError, TypeError):
        return
    if elsewhere and fresh:
        raise LeaseHeldError(_held_by(lease))


def _held_by(text: str) -> str:
    try:
        holder = json.loads(text)
        who = f"process {holder['pid']} on {holder['host']}"
    except (ValueError, KeyError, TypeError):
        who = "another process"
    return f"this run is being extracted by {who}; wait for it, stop it, or start another with --new"
