"""What a workflow needs of the terminal, so that the same workflow runs in a notebook or a test."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

__all__ = ["Console", "Silent"]


class Console(Protocol):
    """Says what happens; shows how far it is."""

    def say(self, text: str) -> None:
        """Report progress in a line."""

    def warn(self, text: str) -> None:
        """Report something that a user should know, also under ``--quiet``."""

    def track(self, what: str, total: int, done: int = 0) -> AbstractContextManager[Callable[[int], None]]:
        """Show a bar with rate and time left; the function it gives moves it on."""


class Silent:
    """Says nothing: for the library face."""

    def say(self, text: str) -> None:
        """Drop it."""

    def warn(self, text: str) -> None:
        """Drop it."""

    @contextmanager
    def track(self, what: str, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:  # noqa: ARG002
        """Count for nobody."""
        yield lambda _: None
