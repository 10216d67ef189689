"""Progress in a terminal or in a notebook, and silence elsewhere."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from vlmprobe import console
from vlmprobe.console import NotebookConsole, TerminalConsole, open_console


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """Be in a notebook, as far as anyone can see; return what its cell shows, in the order in which it is drawn."""
    drawn: list[dict[str, str]] = []

    def display(data: dict[str, str], *, raw: bool, display_id: bool) -> Any:
        assert raw
        assert display_id
        drawn.append(data)
        return SimpleNamespace(update=lambda data, **_: drawn.append(data))

    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    return drawn


def test_a_script_is_silent_but_for_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    """Its stderr is no terminal; a warning, say that the database is in use, is always printed."""
    terminal = open_console()
    assert isinstance(terminal, TerminalConsole)
    terminal.say("reading")
    terminal.warn("waiting")
    with terminal.track("pairs", 2) as advance:
        advance(2)
    assert capsys.readouterr().err == "note: waiting\n"


def test_progress_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """In a log, say; and switched off in a terminal."""
    open_console(progress=True).say("reading")
    open_console(progress=False).say("nothing")
    assert capsys.readouterr().err == "reading\n"


def test_a_log_gets_a_line_a_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And one at the end; no line is drawn over another."""
    clock = iter(range(0, 100_000, 10))
    monkeypatch.setattr(console, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with open_console(progress=True).track("tiny @ 2m", 100) as advance:
        for _ in range(20):
            advance(5)
    lines = capsys.readouterr().err.splitlines()
    assert 3 <= len(lines) <= 6
    assert lines[0].startswith("tiny @ 2m  ")
    assert "left" in lines[0]
    assert lines[-1].startswith("tiny @ 2m  100/100")
    assert all("\r" not in line and "\x1b" not in line for line in lines)


def test_what_takes_an_instant_leaves_no_line_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    """Reading a small file, for example."""
    with open_console(progress=True).track("reading", 10) as advance:
        advance(10)
    assert capsys.readouterr().err == ""


def test_an_ipython_shell_in_a_terminal_is_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no kernel."""
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace()))
    assert isinstance(open_console(), TerminalConsole)


def test_a_notebook_redraws_its_bar(shown: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """One output that is updated, which needs no widgets; as text too, where HTML is not shown."""
    clock = iter(range(100))
    monkeypatch.setattr(console, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    notebook = open_console()
    assert isinstance(notebook, NotebookConsole)
    with notebook.track("tiny @ <2m>", 4, done=1) as advance:
        advance(1)
        advance(2)
    assert [data["text/plain"].split()[3] for data in shown] == ["1/4", "2/4", "4/4", "4/4"]
    assert "left" in shown[1]["text/plain"]
    assert "left" not in shown[-1]["text/plain"]
    assert '<progress value="4" max="4">' in shown[-1]["text/html"]
    assert "tiny @ &lt;2m&gt;" in shown[-1]["text/html"]


def test_a_bar_is_not_redrawn_at_every_step(shown: list[dict[str, str]]) -> None:
    """A thousand steps in an instant are two pictures."""
    with open_console().track("pairs", 1000) as advance:
        for _ in range(1000):
            advance(1)
    assert len(shown) < 10
    assert shown[-1]["text/plain"].startswith("pairs  1000/1000")


def test_a_quiet_notebook_shows_warnings_alone(
    shown: list[dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """As ``--quiet`` does."""
    notebook = open_console(progress=False)
    notebook.say("reading")
    notebook.warn("waiting")
    with notebook.track("pairs", 1) as advance:
        advance(1)
    printed = capsys.readouterr()
    assert (printed.out, printed.err, shown) == ("", "note: waiting\n", [])
    open_console().say("reading")
    assert capsys.readouterr().out == "reading\n"
