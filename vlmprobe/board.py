"""Several things that go on at once, a row each: as one table on a terminal, as lines elsewhere."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from rich.console import Console as RichConsole
    from rich.table import Table

    from vlmprobe.workspace import Board, Console

__all__ = ["Bars", "Lines", "drawn_table"]


class Bars:
    """A single row, which needs no table: the bars and messages of its console say it all."""

    def __init__(self, console: Console) -> None:
        """Store the console."""
        self._console = console

    def console(self, row: int) -> Console:  # noqa: ARG002 - there is one
        """Return the console itself."""
        return self._console

    def show(self, row: int, state: str, *, last: bool = False) -> None:
        """Print nothing."""


class Lines:
    """Rows where nothing can be drawn in place: the last state of each is a line."""

    def __init__(self, console: Console, names: Sequence[str]) -> None:
        """Store where lines go, and what the rows are called."""
        self._console, self._names = console, names

    def console(self, row: int) -> Console:  # noqa: ARG002 - bars say by themselves what they are about
        """Return the console itself."""
        return self._console

    def show(self, row: int, state: str, *, last: bool = False) -> None:
        """Print the last state."""
        if last:
            self._console.say(f"{self._names[row]}: {state}")


@contextmanager
def drawn_table(console: Console, rich: RichConsole, names: Sequence[str]) -> Iterator[Board]:
    """Draw a table on a terminal, which stays there at the end; messages appear above it.

    Args:
        console: prints messages.
        rich: the same terminal.
        names: of the rows, which can be printed as they are.
    """
    from rich.live import Live

    table = _DrawnTable(console, names)
    with Live(console=rich, get_renderable=table.drawn, refresh_per_second=4) as live:
        live.refresh()
        yield table


class _DrawnTable:
    def __init__(self, console: Console, names: Sequence[str]) -> None:
        self._console, self._names = console, names
        self._states = ["waiting"] * len(names)

    def console(self, row: int) -> Console:
        return _Row(self._console, lambda state: self.show(row, state))

    def show(self, row: int, state: str, *, last: bool = False) -> None:  # noqa: ARG002 - all are drawn
        self._states[row] = state

    def drawn(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        for name, state in zip(self._names, self._states, strict=True):
            table.add_row(Text(name), Text(state))
        return table


class _Row:
    """The console of one row, whose bars are numbers in it."""

    def __init__(self, console: Console, show: Callable[[str], None]) -> None:
        self._console, self._show = console, show

    def say(self, text: str) -> None:
        self._console.say(text)

    def warn(self, text: str) -> None:
        self._console.warn(text)

    def board(self, names: Sequence[str]) -> AbstractContextManager[Board]:
        return self._console.board(names)

    @contextmanager
    def track(self, what: str, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:
        # The name of a run is this row's. "RUN: metrics" is what is done to it; RUN alone means that it is asked.
        _, has_name, rest = what.partition(" @ ")
        label = (rest.partition(": ")[2] or "asking") if has_name else what
        begun, started = done, time.monotonic()

        def advance(steps: int) -> None:
            nonlocal done
            done += steps
            seconds = time.monotonic() - started
            rate = f" at {(done - begun) / seconds:.0f}/s" if done > begun and seconds > 0 else ""
            self._show(f"{label} {done}/{total}{rate}")

        advance(0)
        yield advance
