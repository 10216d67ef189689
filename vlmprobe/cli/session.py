"""One invocation of a command: its workspace, and how an error is reported."""

from __future__ import annotations

import errno
import signal
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from vlmprobe.console import plain_text
from vlmprobe.errors import DiskFullError, ReadOnlyError, VlmprobeError, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vlmprobe.workspace import Workspace

__all__ = ["STOPPED", "ReportedExit", "check_results", "ignore_stops", "session"]

STOPPED = "stopped; finished work is kept; rerun the same command to resume"


@contextmanager
def session(
    home: Path | None, *, quiet: bool = False, debug: bool = False, experiment: str | None = None
) -> Iterator[Workspace]:
    """Run a command's body; an error becomes one line on stderr and an exit code (DESIGN: 2 input, 1 failure)."""
    try:
        from vlmprobe.console import TerminalConsole
        from vlmprobe.workspace import Workspace

        yield Workspace.open(home, experiment=experiment, console=TerminalConsole(quiet=quiet))
    except VlmprobeError as error:
        _fail(str(error), error.exit_code, debug=debug)
    except KeyboardInterrupt:
        ignore_stops()
        _fail(STOPPED, 130, debug=debug)
    except typer.Exit:
        raise
    except MemoryError:
        _fail(
            "out of memory; close other programs, or use a smaller --batch-size if the command has one",
            1,
            debug=debug,
        )
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            _fail(str(DiskFullError(error.filename or "a file")), 1, debug=debug)
        if error.errno == errno.EROFS:
            todo = "write to another folder: with --out, if the command has it, or with --home"
            _fail(str(ReadOnlyError(str(error.filename or "a folder"), todo)), 1, debug=debug)
        where = f" ({error.filename})" if error.filename else ""
        _fail(f"{error.strerror or error}{where}", 1, debug=debug)
    except Exception as error:  # noqa: BLE001 - a user sees one line; --debug the rest
        _fail(
            f"unexpected {type(error).__name__}: {first_line(error)[:300]}; --debug shows where",
            1,
            debug=debug,
        )


def check_results(workspace: Workspace, *, are_all: bool) -> None:
    """Say that results are not where stdout leads, as on a full disk; a reader that has left has what it wanted.

    Args:
        workspace: whose console is told.
        are_all: whether results are all that the command was for; otherwise its work is done, and this is a note.

    Raises:
        VlmprobeError: results are all, and some are lost.
    """
    from vlmprobe.streams import lost_results

    lost = lost_results()
    if lost is None:
        return
    said = f"results could not be written to standard output ({lost.strerror}); write them to another file or disk"
    if are_all:
        raise VlmprobeError(said)
    workspace.console.warn(said)


def ignore_stops() -> None:
    """Ignore Ctrl-C and SIGTERM from now on; nothing is left to stop, and one could kill Python during exit.

    The exit status would then be the signal and not our exit code.
    """
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)


class ReportedExit(int):
    """An exit code whose reason has been printed; typer itself returns the same number without a message."""


def _fail(message: str, code: int, *, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    typer.echo(f"error: {plain_text(' '.join(message.split()))}", err=True)
    raise typer.Exit(ReportedExit(code))
