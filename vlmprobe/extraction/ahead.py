"""Gets the weights of the next scale while the current one is asked."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from functools import partial
from threading import Event, Thread
from typing import TYPE_CHECKING

from vlmprobe.extraction.request import prepare
from vlmprobe.families import KeptFamily, fingerprint, is_local, load_catalog, n_processes
from vlmprobe.workspace import Silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from vlmprobe.extraction.request import ExtractRequest
    from vlmprobe.workspace import Board, Console, Workspace

__all__ = ["getting_ahead"]


@contextmanager
def getting_ahead(
    workspace: Workspace, console: Console, now: ExtractRequest, following: ExtractRequest | None
) -> Iterator[None]:
    """Print to a console, and get the next scale's weights from when this one's first pairs were answered.

    By then this scale's model has taken what it needs of a device.

    Args:
        workspace: the home.
        console: of this scale.
        now: this scale.
        following: the next one, if there is any.
    """
    if following is None:
        with workspace.printing_to(console):
            yield
        return
    watched = _Watched(console, partial(_get_ahead, workspace, now, following))
    with workspace.printing_to(watched):
        try:
            yield
        finally:
            watched.end()


class _Watched:
    """A console that calls something when the first bar has moved."""

    def __init__(self, console: Console, begin: Callable[[], Callable[[], None]]) -> None:
        self._console, self._begin = console, [begin]
        self._ends: list[Callable[[], None]] = []

    def say(self, text: str) -> None:
        self._console.say(text)

    def warn(self, text: str) -> None:
        self._console.warn(text)

    @contextmanager
    def track(self, what: str, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:
        with self._console.track(what, total, done) as advance:

            def moved(n: int) -> None:
                advance(n)
                while self._begin:
                    self._ends.append(self._begin.pop()())

            yield moved

    def board(self, names: Sequence[str]) -> AbstractContextManager[Board]:
        return self._console.board(names)

    def end(self) -> None:
        while self._ends:
            self._ends.pop()()


def _get_ahead(workspace: Workspace, now: ExtractRequest, following: ExtractRequest) -> Callable[[], None]:
    """Get the next scale's weights in a thread: into a process of its own where models have one, else their pages.

    Returns:
        What to call when the next scale's turn has come: what has not begun by then is left to it.
    """
    workers, has_come = workspace.workers, Event()

    def read() -> None:
        with suppress(Exception):  # raised again when that scale's turn comes
            load = load_catalog().scale
            spec, before = (
                load(each.family, each.scale, each.checkpoint, each.processor) for each in (following, now)
            )
            # A control may have other weights than the checkpoint's.
            if spec.checkpoint == before.checkpoint or following.control is not None:
                return
            elsewhere = spec.environment is not None and spec.environment.launch
            if workers is not None and not elsewhere and n_processes(following.options.model):
                prepared = prepare(
                    following,
                    Silent(),
                    workers=workers,
                    hashes=workspace.hashes,
                    benchmarks=workspace.benchmarks,
                )
                if isinstance(prepared.family, KeptFamily) and not has_come.is_set():
                    prepared.family.load_ahead(prepared.options)
            elif is_local(spec.checkpoint):
                fingerprint(spec.checkpoint, following.revision or spec.revision, hashes=workspace.hashes)

    Thread(target=read, name="vlmprobe-weights", daemon=True).start()
    return has_come.set
