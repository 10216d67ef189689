"""How a process of ``-n 2`` ended: xdist says that it crashed, and neither when it was killed nor who ended it.

A fault in native code prints Python's stacks by itself (pytest's faulthandler).
"""

from __future__ import annotations

import faulthandler
import os
import signal
import subprocess
from typing import Any, NoReturn

import pytest

__all__ = ["how_it_ended", "pytest_configure", "pytest_handlecrashitem"]

PATIENCE_S = 10.0


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(report: Any) -> None:
    """Add to xdist's line how the process ended."""
    report.longrepr = f"{report.longrepr}; {how_it_ended(report.node.gateway._io.popen)}"


def how_it_ended(process: subprocess.Popen[bytes]) -> str:
    """Return a process's exit code or signal in words."""
    try:
        code = process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        return "it still runs, but nothing can be received from it"
    if code >= 0:
        return f"it ended with exit code {code}"
    return f"it was killed by {signal.Signals(-code).name}"


def pytest_configure() -> None:
    """Let ``os._exit`` print the stacks first where it would end a process of xdist, and not a child of it."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    # As in pytest's own faulthandler: nothing is captured yet.
    log, ours, leave = os.dup(2), os.getpid(), os._exit

    def told(status: int) -> NoReturn:
        if os.getpid() == ours:
            os.write(log, f"os._exit({status}) in a process of xdist:\n".encode())
            faulthandler.dump_traceback(log)
        leave(status)

    os._exit = told
