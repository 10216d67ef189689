"""Lanes: scales that are worked on side by side, each in another process.

A small model on a CPU keeps one processor busy and no more: its products are too small to share. So each lane has its
share of the processors. Whoever is done with a scale takes the next.
"""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Condition
from typing import TYPE_CHECKING, Any

from vlmprobe.families import is_local
from vlmprobe.processes import THREAD_VARIABLES, OtherProcess, processors
from vlmprobe.relayed import Relay, RelayedConsole
from vlmprobe.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType
    from typing import Self

    from vlmprobe.families import Environment, ModelOptions
    from vlmprobe.settings import Settings
    from vlmprobe.workspace import Board

__all__ = ["Lanes", "Task", "n_lanes"]

#: Bytes of a checkpoint's folder up to which a model leaves most of several processors idle.
_SMALL = 256 << 20
_MOST_LANES = 4
_GPU_DRIVERS = (Path("/proc/driver/nvidia/gpus"), Path("/dev/kfd"))
_LOOK_S = 0.2


def n_lanes(
    model: ModelOptions, checkpoints: Sequence[str], environments: Sequence[Environment | None] = ()
) -> int:
    """Return how many scales to work on side by side.

    Args:
        model: as it was asked for; one that is to run on a GPU, or may, has its processors for itself.
        checkpoints: of the scales.
        environments: where the scales run, if that is not this Python.

    Returns:
        1 for models that would get in each other's way, else at most one for each processor and for each checkpoint.
    """
    on_cpu = model.device == "cpu" or (
        model.device == "auto" and not any(driver.exists() for driver in _GPU_DRIVERS)
    )
    if any(each is not None and each.launch for each in environments):
        return 1  # the places are there once, however many processors are here
    if not on_cpu or model.devices or not all(map(_is_small, checkpoints)):
        return 1
    return max(min(processors(), len(checkpoints), _MOST_LANES), 1)


def _is_small(checkpoint: str) -> bool:
    if not is_local(checkpoint):
        return False
    files = (path for path in Path(checkpoint).expanduser().rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files) <= _SMALL


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to do in a lane."""

    work: Callable[..., Any]
    """A function of a module; it is called with a workspace, a function that tells the state of its row, and
    ``arguments``."""
    arguments: tuple[Any, ...]
    """They must be picklable, and so must the result."""


class Lanes:
    """Processes that each do one task after the other; use it as a context manager."""

    def __init__(self, workspace: Workspace, n: int) -> None:
        """Store the arguments; nothing is started yet.

        Args:
            workspace: the home, which each process opens for itself.
            n: how many.
        """
        self._workspace, self._n = workspace, n
        self._lanes: list[_Lane] = []
        self._changed = Condition()

    def run(self, tasks: Sequence[Task], board: Board) -> list[Any]:
        """Do all tasks, the first ones first; return their results in order.

        Args:
            tasks: what to do.
            board: shows the state of each in its row.

        Raises:
            Exception: what the first task that failed raised; no other was begun after that, and those that were begun
                are done.
            KeyboardInterrupt: it was stopped; what is finished is saved.
        """
        self._start()
        waiting = list(enumerate(tasks))
        results: dict[int, Any] = {}
        failure: BaseException | None = None
        try:
            while len(results) < len(tasks):
                for lane in self._lanes:
                    results |= lane.collect()
                    if failure is None and lane.is_free and waiting:
                        lane.begin(*waiting.pop(0), board)
                    failure = failure or lane.failure()
                if failure is not None and all(lane.is_idle for lane in self._lanes):
                    raise failure
                with self._changed:
                    self._changed.wait_for(lambda: any(lane.has_news for lane in self._lanes), _LOOK_S)
        except KeyboardInterrupt:
            self._stop()
            raise
        return [results[row] for row in range(len(tasks))]

    def _start(self) -> None:
        if not self._lanes:
            self._workspace.warn_unshared()
            with _threads(max(processors() // self._n, 1)):
                self._lanes = [_Lane(self._workspace.settings, self._changed) for _ in range(self._n)]

    def _stop(self) -> None:
        """Let each save what it has finished; they say so themselves."""
        busy = [lane for lane in self._lanes if not lane.is_idle]
        for lane in busy:
            lane.process.stop()
        for lane in busy:
            lane.process.wait()
            lane.end("stopped")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as closing:
            for lane in self._lanes:
                closing.callback(lane.process.close)


class _Lane:
    """One process, and what it is doing."""

    def __init__(self, settings: Settings, changed: Condition) -> None:
        self._changed = changed
        self._row: int | None = None
        self._result: tuple[int, Any] | None = None
        self._is_over = False
        self.process = OtherProcess(_begin, settings, name="works on a scale", heard=self._hear)

    @property
    def is_idle(self) -> bool:
        return self._row is None

    @property
    def is_free(self) -> bool:
        return self._row is None and not self._is_over

    @property
    def has_news(self) -> bool:
        return self._result is not None or (self.process.has_failed and not self._is_over)

    def begin(self, row: int, task: Task, board: Board) -> None:
        self._row, self._board, self._relay = row, board, Relay(board.console(row))
        self.process.submit(task)

    def collect(self) -> dict[int, Any]:
        """Return the result by its row, once; nothing while there is none."""
        with self._changed:
            result, self._result = self._result, None
            if result is None:
                return {}
            self._row = None
            return dict([result])

    def failure(self) -> Exception | None:
        """Return what the process raised, once.

        Raises:
            KeyboardInterrupt: it was stopped.
        """
        if self._is_over:
            return None
        try:
            self.process.check()
        except Exception as error:  # noqa: BLE001 - whoever asked raises it
            self.end("failed")
            return error
        return None

    def end(self, state: str) -> None:
        """End the row of a process that is gone."""
        self._is_over = True
        if self._row is not None:
            self._relay.close()
            self._board.show(self._row, state, last=True)
            self._row = None

    def _hear(self, told: tuple[Any, ...]) -> None:
        """Show what the process tells, in another thread."""
        row = self._row
        if row is None or self._relay.hear(told):
            return
        kind, value = told
        if kind == "state":
            self._board.show(row, value)
            return
        self._board.show(row, "done", last=True)
        with self._changed:
            self._result = row, value
            self._changed.notify_all()


@contextmanager
def _threads(n: int) -> Iterator[None]:
    """Let processes that start meanwhile share products among ``n`` threads, unless the user says how many."""
    before = dict(os.environ)
    if THREAD_VARIABLES[0] not in before:
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(n)))
    try:
        yield
    finally:
        for name in THREAD_VARIABLES:
            os.environ.pop(name, None)
            if name in before:
                os.environ[name] = before[name]


def _begin(tell: Callable[[tuple[Any, ...]], None], settings: Settings) -> Callable[[Task], tuple[str, Any]]:
    """Open the home in the process of a lane; return what does a task."""
    signal.signal(signal.SIGTERM, _interrupt)
    workspace = Workspace(settings, RelayedConsole(tell))
    workspace.unshared_told = True
    return lambda task: (
        "result",
        task.work(workspace, lambda state: tell(("state", state)), *task.arguments),
    )


def _interrupt(signum: int, frame: object) -> None:  # noqa: ARG001 - the handler's protocol
    raise KeyboardInterrupt
