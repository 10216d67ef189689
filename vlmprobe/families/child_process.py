"""A program with pipes, in a group of its own: started, and ended with all that it started itself."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import IO

__all__ = ["end_child", "how_it_ended", "signal_group", "start_child"]

_PIPE_BYTES = 2**20
#: What a shell adds to a signal's number, for the exit code of a program that the signal ended.
_SHELL_ADDS = 128


def start_child(command: Sequence[str], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a program whose standard streams are pipes.

    Raises:
        OSError: it is not there, or is no program.
    """
    process = subprocess.Popen(  # noqa: S603  (what the user's own file names)
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ,
        # The parent handles Ctrl-C: it finishes the running batch, then stops everything.
        start_new_session=True,
    )
    for pipe in (process.stdin, process.stdout):
        _widen(pipe)
    return process


def end_child(process: subprocess.Popen[bytes], grace_s: float, *, at_once: bool = False) -> None:
    """End a program and what it started; a worker ends by itself when its input ends.

    ``srun`` and ``docker run`` pass SIGTERM on to where the worker is. ``ssh`` does not, but closes the worker's input.

    Args:
        process: the program.
        grace_s: how long it may take, each time, before it is ended less gently.
        at_once: whether to begin with the signal, since it does not read its input any more.
    """
    if not at_once:
        # It may be gone before everything was written.
        with suppress(OSError):
            _close_input(process)
        if _has_ended(process, grace_s):
            return
    for stop in (signal.SIGTERM, signal.SIGKILL):
        signal_group(process, stop)
        if _has_ended(process, grace_s):
            break
    process.wait()
    with suppress(OSError):
        _close_input(process)


def signal_group(process: subprocess.Popen[bytes], stop: signal.Signals) -> None:
    """Send a signal to a program and to what it started: a shell, say, does not pass it on."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, stop)


def how_it_ended(code: int) -> str:
    """Put an exit code into words; a shell, ``srun`` and ``docker`` tell a signal as 128 more than its number."""
    if code < 0:
        return f"was killed by {_signal(-code)}"
    return f"ended with exit code {code}{_perhaps_signal(code)}"


def _perhaps_signal(code: int) -> str:
    try:
        return f", as after {_signal(code - _SHELL_ADDS)}"
    except ValueError:
        return ""


def _signal(number: int) -> str:
    name = signal.Signals(number).name
    return f"{name} (perhaps out of memory)" if name == "SIGKILL" else name


def _has_ended(process: subprocess.Popen[bytes], grace_s: float) -> bool:
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def _close_input(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()


def _widen(pipe: IO[bytes] | None) -> None:
    """Let a pipe hold a megabyte where the system can: a batch of images has sixty; each piece wakes two threads."""
    set_size = getattr(fcntl, "F_SETPIPE_SZ", None)
    if pipe is not None and set_size is not None:
        with suppress(OSError):
            fcntl.fcntl(pipe.fileno(), set_size, _PIPE_BYTES)
