"""A console of another process: what is said and how far things are goes to this process, which shows it."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from vlmprobe.board import Lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vlmprobe.workspace import Board, Console

__all__ = ["Relay", "RelayedConsole"]


class RelayedConsole:
    """The console in the other process."""

    def __init__(self, tell: Callable[[tuple[Any, ...]], None]) -> None:
        """Store what takes a message to this process."""
        self._tell = tell

    def say(self, text: str) -> None:
        """See :class:`Console`."""
        self._tell(("say", text))

    def warn(self, text: str) -> None:
        """See :class:`Console`."""
        self._tell(("warn", text))

    @contextmanager
    def track(self, what: str, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:
        """See :class:`Console`."""
        self._tell(("track", what, total, done))
        try:
            yield lambda steps: self._tell(("advance", steps))
        finally:
            self._tell(("tracked",))

    @contextmanager
    def board(self, names: Sequence[str]) -> Iterator[Board]:
        """Say in a line how each of several things ended."""
        yield Lines(self, names)


class Relay:
    """Shows on a console of this process what a :class:`RelayedConsole` tells."""

    def __init__(self, console: Console) -> None:
        """Store the console."""
        self._console = console
        self._bars: list[tuple[ExitStack, Callable[[int], None]]] = []

    def hear(self, message: tuple[Any, ...]) -> bool:
        """Show a message; return whether it was one of a console."""
        kind, *rest = message
        if kind == "say":
            self._console.say(*rest)
        elif kind == "warn":
            self._console.warn(*rest)
        elif kind == "track":
            stack = ExitStack()
            self._bars.append((stack, stack.enter_context(self._console.track(*rest))))
        elif kind == "advance":
            self._bars[-1][1](*rest)
        elif kind == "tracked":
            self._bars.pop()[0].close()
        else:
            return False
        return True

    def close(self) -> None:
        """End the bars of a process that is gone."""
        while self._bars:
            self._bars.pop()[0].close()
