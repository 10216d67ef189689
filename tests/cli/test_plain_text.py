"""What others wrote cannot play with the terminal of who reads it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.cli.console import print_rows
from vlmprobe.console import TerminalConsole, plain_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CLEAR_AND_RENAME = "\x1b[2J\x1b]0;mine\x07"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("left\tright\n", "left\tright\n"),
        ("größe 😀", "größe 😀"),
        (CLEAR_AND_RENAME, r"\x1b[2J\x1b]0;mine\x07"),
        ("\x9b2J\r\x00", r"\x9b2J\r\x00"),
        ("txt.\u202eexe", r"txt.\u202eexe"),
        ("\udcff.tsv", r"\udcff.tsv"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text: str, plain: str) -> None:
    """Letters of any language stay as they are."""
    assert plain_text(text) == plain


def test_tables_and_remarks_are_plain(capsys: pytest.CaptureFixture[str]) -> None:
    """Answers and names in a table, whatever is said and warned of."""
    print_rows([{CLEAR_AND_RENAME: CLEAR_AND_RENAME}])
    console = TerminalConsole(quiet=False)
    console.say(CLEAR_AND_RENAME)
    console.warn(CLEAR_AND_RENAME)
    printed = capsys.readouterr()
    assert "\x1b[2J" not in printed.out + printed.err
    assert "\x1b]0" not in printed.out + printed.err
    assert printed.out.count(r"\x1b[2J") == 2
    assert printed.err.count(r"\x1b[2J") == 2


@pytest.mark.parametrize("on_terminal", [True, False])
def test_csv_is_plain_on_a_terminal_and_whole_in_a_file(
    on_terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that reads it wants every byte; a terminal must not obey it."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: on_terminal)
    print_rows([{"answer": CLEAR_AND_RENAME}], as_csv=True)
    shown = plain_text(CLEAR_AND_RENAME) if on_terminal else CLEAR_AND_RENAME
    assert capsys.readouterr().out == f"answer\n{shown}\n"


def test_an_error_is_plain(inside: Any, tmp_path: Path) -> None:
    """Also where a file is called so."""
    ran = inside("data", "check", tmp_path / f"{CLEAR_AND_RENAME}.tsv", "--quiet")
    assert ran.code == 2
    assert "\x1b" not in ran.err
    assert r"\x1b[2J" in ran.err


def test_a_file_whose_name_is_not_utf_8_is_read(
    shell: Any, benchmark: Callable[..., Path], tmp_path: Path
) -> None:
    """Its name is shown with the odd byte written out."""
    path = os.fsencode(tmp_path) + b"/caf\xe9.tsv"
    with open(path, "wb") as file:  # noqa: PTH123 - a path of bytes
        file.write(benchmark(2).read_bytes())
    ran = shell("data", "check", os.fsdecode(path)).ok()
    assert r"caf\udce9.tsv: embspatial form, 12 rows, 0 problems" in ran.out
