"""Several scales at once: one table on a terminal, a line each in a log."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from rich.console import Console as RichConsole

from vlmprobe.console import NotebookConsole, TerminalConsole, open_console
from vlmprobe.workspace import Silent

if TYPE_CHECKING:
    import pytest

    from vlmprobe.workspace import Console

SCALES = ("tiny @ vanilla", "tiny @ [2m]\x1b")


def _run(console: Console) -> None:
    """Ask one scale after the other, and remark on the second."""
    with console.board(SCALES) as board:
        board.show(0, "loading")
        with board.console(0).track("tiny @ vanilla", 1200, 300) as advance:
            advance(120)
        board.show(0, "analyzing")
        inner = board.console(1)
        inner.say("loading 2m")
        inner.warn("no chat template")
        board.show(0, "done", last=True)
        board.show(1, "failed", last=True)


def _terminal(*, quiet: bool = False) -> tuple[TerminalConsole, io.StringIO]:
    """Return a console on a terminal of 80 columns, and what that shows."""
    screen = io.StringIO()
    terminal = TerminalConsole(quiet=quiet)
    terminal.__dict__["_rich"] = RichConsole(
        file=screen, force_terminal=True, width=80, highlight=False, color_system=None
    )
    return terminal, screen


def test_a_terminal_shows_one_table_and_messages_above_it() -> None:
    """It is drawn in place and stays; a name is text, whatever it holds."""
    terminal, screen = _terminal()
    _run(terminal)
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue()).replace("\r", "\n")
    lines = [" ".join(line.split()) for line in shown.splitlines() if line.strip()]

    assert lines[-2:] == ["tiny @ vanilla done", "tiny @ [2m]\\x1b failed"]
    assert lines.index("loading 2m") < lines.index("note: no chat template") < len(lines) - 2


def test_the_states_of_a_row_are_numbers_with_a_rate(wait_until: Any) -> None:
    """Pairs that were done before count, and not for the rate; what is no asking says what it is."""
    terminal, screen = _terminal()

    def is_shown(pattern: str) -> bool:
        return re.search(pattern, screen.getvalue()) is not None

    with terminal.board(SCALES) as board:
        assert is_shown(r"tiny @ vanilla +waiting")
        with board.console(0).track("tiny @ vanilla and 2 more", 1200, 300) as advance:
            advance(120)
            wait_until(lambda: is_shown(r"tiny @ vanilla +asking 420/1200 at \d+/s"))
        with board.console(1).track("tiny @ 2m: metrics", 6), board.console(0).track("reading", 9):
            wait_until(lambda: is_shown(r"x1b +metrics 0/6") and is_shown(r"vanilla +reading 0/9"))


def test_a_log_has_a_line_for_each_scale_when_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    """Beside messages; bars are the lines that they are for one scale, once a minute."""
    _run(open_console(progress=True))
    assert capsys.readouterr().err.splitlines() == [
        "loading 2m",
        "note: no chat template",
        "tiny @ vanilla: done",
        "tiny @ [2m]\\x1b: failed",
    ]


def test_a_notebook_has_these_lines_too(capsys: pytest.CaptureFixture[str]) -> None:
    """A table that is drawn in place would need widgets; the scale's bar is drawn as before."""
    notebook = NotebookConsole(quiet=False)
    with notebook.board(SCALES) as board:
        assert board.console(0) is notebook
        board.show(0, "loading")
        board.show(0, "done", last=True)
    assert capsys.readouterr().out == "tiny @ vanilla: done\n"


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal, in a log, and without a console: warnings alone."""
    terminal, screen = _terminal(quiet=True)
    _run(terminal)
    assert screen.getvalue().split("\n") == ["note: no chat template", ""]
    _run(TerminalConsole(quiet=True))
    _run(Silent())
    assert capsys.readouterr().err == "note: no chat template\n"
