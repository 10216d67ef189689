"""Where messages and progress appear: a terminal, or the output of a notebook cell."""

from __future__ import annotations

import re
import sys
import time
from contextlib import contextmanager
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

from vlmprobe.board import Lines, drawn_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console as RichConsole

    from vlmprobe.workspace import Board

__all__ = ["NotebookConsole", "TerminalConsole", "open_console", "plain_text"]

#: Control characters except tab and line feed, characters that change the writing direction, and surrogates,
#: which stand for bytes of a file name that are not UTF-8.
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
#: A bar in a notebook is redrawn at most this often.
_REDRAW_S = 0.2
#: Where the output is a file, a line tells how far something is, at most this often; what takes less than a second
#: is not worth one.
_LOG_S = 60.0
_INSTANT_S = 1.0


def open_console(*, progress: bool | None = None) -> TerminalConsole | NotebookConsole:
    """Return the console of this process: a notebook's if it runs in one, else the terminal's.

    Args:
        progress: whether to print messages and bars besides warnings; None = in a notebook or on a terminal.
    """
    if _in_notebook():
        return NotebookConsole(quiet=progress is False)
    return TerminalConsole(quiet=not (sys.stderr.isatty() if progress is None else progress))


def _in_notebook() -> bool:
    # A notebook has imported IPython; its shell, unlike that of a terminal, has a kernel.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class TerminalConsole:
    """Prints progress and notes to stderr."""

    def __init__(self, *, quiet: bool) -> None:
        """Print only warnings if ``quiet``."""
        self._quiet = quiet

    @cached_property
    def _rich(self) -> RichConsole:
        # Loaded on demand: most commands that only print a table do not need it.
        from rich.console import Console as RichConsole

        return RichConsole(stderr=True, highlight=False)

    def say(self, text: str) -> None:
        """Report progress in a line."""
        if not self._quiet:
            self._rich.print(plain_text(text), markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Report something that a user should know, also under ``--quiet``."""
        self._rich.print(f"note: {plain_text(text)}", markup=False, soft_wrap=True, style="yellow")

    @contextmanager
    def track(self, what: str, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:
        """Show a bar with rate and time left on a terminal; in a log a line a minute and one at the end."""
        if self._quiet:
            yield lambda _: None
            return
        if not self._rich.is_terminal:
            bar = _Bar(plain_text(what), total, done)
            with _redrawn(
                bar, _LOG_S, lambda drawn: bar.seconds >= _INSTANT_S and self._log(drawn)
            ) as advance:
                yield advance
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._rich, transient=False) as progress:
            task = progress.add_task(what, total=total, completed=done, rate="")

            def advance(steps: int) -> None:
                progress.advance(task, steps)
                speed = progress.tasks[0].speed
                progress.update(task, rate=f"{speed:.1f}/s" if speed else "")

            yield advance

    @contextmanager
    def board(self, names: Sequence[str]) -> Iterator[Board]:
        """Draw things that go on at once in a table on a terminal; in a log a line says how each ended."""
        if self._quiet or not self._rich.is_terminal:
            yield Lines(self, names)
            return
        with drawn_table(self, self._rich, [plain_text(name) for name in names]) as board:
            yield board

    @staticmethod
    def _log(drawn: dict[str, Any]) -> None:
        sys.stderr.write(f"{drawn['text/plain']}\n")
        sys.stderr.flush()


class NotebookConsole:
    """Prints messages below a notebook cell, and bars that a notebook shows without further packages.

    Rich's own bars need ipywidgets there.
    """

    def __init__(self, *, quiet: bool) -> None:
        """Print only warnings if ``quiet``."""
        self._quiet = quiet

    def say(self, text: str) -> None:
        """Report progress in a line."""
        if not self._quiet:
            sys.stdout.write(f"{plain_text(text)}\n")

    def warn(self, text: str) -> None:
        """Report something that a user should know, also if quiet."""
        sys.stderr.write(f"note: {plain_text(text)}\n")

    @contextmanager
    def track(self, what: str, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:
        """Show a bar with rate and time left, which is redrawn in its place."""
        if self._quiet:
            yield lambda _: None
            return
        from IPython.display import display

        bar = _Bar(plain_text(what), total, done)
        handle = display(bar.drawn(), raw=True, display_id=True)
        with _redrawn(bar, _REDRAW_S, lambda drawn: handle.update(drawn, raw=True)) as advance:
            yield advance

    @contextmanager
    def board(self, names: Sequence[str]) -> Iterator[Board]:
        """Say in a line how each of several things ended."""
        yield Lines(self, names)


class _Bar:
    """How far something is, as text and as HTML."""

    def __init__(self, what: str, total: int, done: int) -> None:
        self._what, self._total = what, total
        self._begin = self._done = done
        self._started = time.monotonic()

    def advance(self, steps: int) -> None:
        self._done += steps

    def drawn(self) -> dict[str, Any]:
        """Return the bar in the forms that a notebook chooses from."""
        numbers = f"{self._done}/{self._total}{self._speed()}"
        bar = f'<progress value="{self._done}" max="{max(self._total, 1)}"></progress>'
        return {
            "text/plain": f"{self._what}  {numbers}",
            "text/html": f"<div>{escape(self._what)} {bar} {numbers}</div>",
        }

    @property
    def seconds(self) -> float:
        """How long it has been going on."""
        return time.monotonic() - self._started

    def _speed(self) -> str:
        done, seconds = self._done - self._begin, self.seconds
        if not done or seconds <= 0:
            return ""
        left = max(self._total - self._done, 0) * seconds / done
        minutes, rest = divmod(round(left), 60)
        return f"  {done / seconds:.1f}/s" + (f"  {minutes}:{rest:02d} left" if left else "")


@contextmanager
def _redrawn(
    bar: _Bar, every_s: float, show: Callable[[dict[str, Any]], object]
) -> Iterator[Callable[[int], None]]:
    """Yield a function that advances a bar and shows it now and then; show it at the end, too."""
    shown = time.monotonic()

    def advance(steps: int) -> None:
        nonlocal shown
        bar.advance(steps)
        if time.monotonic() - shown >= every_s:
            shown = time.monotonic()
            show(bar.drawn())

    try:
        yield advance
    finally:
        show(bar.drawn())


def plain_text(text: str) -> str:
    r"""Escape whatever a terminal would interpret or cannot print, as in ``\x1b``."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
