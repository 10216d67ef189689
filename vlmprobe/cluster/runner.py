"""Runs one unit: its commands one after the other, in processes of their own, and what it says of itself meanwhile."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vlmprobe.cluster.engines.base import home_arguments, vlmprobe
from vlmprobe.console import plain_text
from vlmprobe.errors import UsageError, first_line
from vlmprobe.store.identity import this_host
from vlmprobe.store.row_lease import LIFE_S, RENEW_S
from vlmprobe.store.server_away import retried
from vlmprobe.store.unit_progress import progress_of
from vlmprobe.store.units import (
    CANCELLED,
    DONE,
    FAILED,
    RUNNING,
    STOPPED,
    Holder,
    begin_unit,
    end_unit,
    get_unit,
    saw_unit,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

    from sqlalchemy import Connection

    from vlmprobe.store.units import Unit
    from vlmprobe.workspace import Workspace

__all__ = ["run_unit"]

#: When a unit that another process runs is looked at again.
_LOOK_AGAIN_S = 5.0
#: Exit code of a command that was stopped.
_STOPPED_CODE = 130
#: Commands that only make sense when every run of the unit is complete.
_OF_WHOLE_RUNS = ("analyze",)
#: The option of commands that begin runs anew.
_NEW = "--new"


def run_unit(workspace: Workspace, unit: Unit) -> int:
    """Run a unit's commands; return the exit code of the last one that was begun.

    A unit that is done already, or cancelled, is left alone; of the latter the code is that of a stop. One that
    another process has is waited for.

    Raises:
        KeyboardInterrupt: it was stopped; its command wrote what was done.
    """
    holder = Holder(this_host(), os.getpid(), secrets.token_hex(8))
    over = threading.Event()
    running = _Running()
    thread = threading.Thread(
        target=_renew, args=(workspace, unit, holder, over, running), name="vlmprobe-unit", daemon=True
    )
    state, error, code = STOPPED, None, _STOPPED_CODE
    may_be_ours = True
    try:
        # A stop may come when it is ours already, and nothing of it has begun.
        if (ended := _take(workspace, unit, holder)) is not None:
            may_be_ours = False
            return 0 if ended == DONE else _STOPPED_CODE
        thread.start()
        code, error = _run_all(workspace, unit, running)
        state = DONE if code == 0 else STOPPED if code == _STOPPED_CODE else FAILED
    except KeyboardInterrupt:
        running.end()
        raise
    except Exception as problem:
        state, error = FAILED, first_line(problem)
        raise
    finally:
        over.set()
        if thread.ident is not None:
            thread.join()
        # If the database is away, the unit counts as lost, which is what it is.
        with suppress(Exception):
            if may_be_ours:
                retried(
                    workspace.database, lambda connection: end_unit(connection, unit, holder, state, error)
                )
    if running.is_lost:
        workspace.console.warn(f"{unit.name}: cancelled, or taken over by another process; stopped")
    return code


class _Running:
    """The command that is running, if any; another thread may stop it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self.is_lost = False
        """Whether the unit is no longer this process's."""

    def start(self, command: Sequence[str], folder: str) -> subprocess.Popen[bytes] | None:
        """Start a command; None if the unit was lost."""
        with self._lock:
            if self.is_lost:
                return None
            # In a session of its own: this process passes a stop on, once.
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                vlmprobe(*command),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            return self._process

    def lose(self) -> None:
        """Stop, since the unit is another's or cancelled."""
        with self._lock:
            self.is_lost = True
            if self._process is not None:
                self._process.terminate()

    def end(self) -> None:
        """Let the command write what is done, and wait for its end; what it says is passed on."""
        process = self._process
        if process is not None and process.stderr is not None:
            process.terminate()
            _pass_on(process.stderr)
            process.wait()


def _take(workspace: Workspace, unit: Unit, holder: Holder) -> str | None:
    """Wait until the unit is ours, and return None; or why there is nothing to do."""
    told = False
    waiting = threading.Event()
    while True:
        if retried(workspace.database, lambda connection: begin_unit(connection, unit, holder)):
            return None
        found = retried(
            workspace.database,
            lambda connection: get_unit(connection, unit.submission, unit.number),
            write=False,
        )
        if found is None or found.state in {DONE, CANCELLED}:
            ended = "gone" if found is None else found.state
            workspace.console.say(f"{unit.name}: {ended}; nothing to do")
            return ended
        if found.state == RUNNING and not told:
            told = True
            workspace.console.say(
                f"{unit.name}: process {found.process} on {found.host} runs it; waiting for its end, or until "
                f"it was not seen for {LIFE_S:.0f} s"
            )
        waiting.wait(_LOOK_AGAIN_S)


def _renew(
    workspace: Workspace, unit: Unit, holder: Holder, over: threading.Event, running: _Running
) -> None:
    while not over.wait(RENEW_S):
        # Whatever fails now may work at the next turn; runs have leases of their own.
        with suppress(Exception):
            with workspace.database.transaction() as connection:
                is_ours = saw_unit(connection, unit, holder)
            if not is_ours:
                running.lose()
                return


def _run_all(workspace: Workspace, unit: Unit, running: _Running) -> tuple[int, str | None]:
    """Run the commands; return the exit code and the last line that a failed one said."""
    for command in unit.commands:
        if unit.part is not None and command[0] in _OF_WHOLE_RUNS and not _are_whole(workspace, unit):
            workspace.console.say(
                f"{unit.name}: other parts of its runs are not complete; they are analyzed then"
            )
            return 0, None
        if not Path(unit.folder).is_dir():
            raise UsageError(
                f"{unit.name} was submitted from {unit.folder}, which is not on this host; submit from a folder that "
                "all hosts share"
            )
        words = (*_resuming(workspace, unit, command), *home_arguments(workspace.settings))
        process = running.start(words, unit.folder)
        if process is None:
            return _STOPPED_CODE, None
        assert process.stderr is not None  # noqa: S101 - it was opened as a pipe
        last = _pass_on(process.stderr)
        code = process.wait()
        if code in {_STOPPED_CODE, -signal.SIGTERM}:
            return _STOPPED_CODE, last
        if code < 0:
            # Its last line is not why.
            return 1, f"'vlmprobe {command[0]}' was ended by signal {-code} (out of memory?)"
        if code:
            return code, last
    return 0, None


def _resuming(workspace: Workspace, unit: Unit, command: Sequence[str]) -> Sequence[str]:
    """Leave out ``--new`` where the new runs were begun by an earlier attempt, or another part: they are resumed."""
    if _NEW not in command:
        return command

    def look(connection: Connection) -> bool:
        (runs,) = progress_of(connection, [unit])
        since = unit.submitted_at
        return len(runs) == len(unit.templates) and all(since and run.created_at >= since for run in runs)

    if not retried(workspace.database, look, write=False):
        return command
    return [word for word in command if word != _NEW]


def _pass_on(stream: IO[bytes]) -> str | None:
    """Write what a command says to this process's stderr; return its last line."""
    last = b""
    for line in stream:
        sys.stderr.write(line.decode("utf-8", errors="replace"))
        sys.stderr.flush()
        last = line.strip() or last
    text = plain_text(last.decode("utf-8", errors="replace")).strip()
    return text.removeprefix("error: ")[-500:] or None


def _are_whole(workspace: Workspace, unit: Unit) -> bool:
    def look(connection: Connection) -> bool:
        (runs,) = progress_of(connection, [unit])
        return len(runs) == len(unit.templates) and all(run.status == "complete" for run in runs)

    return retried(workspace.database, look, write=False)
