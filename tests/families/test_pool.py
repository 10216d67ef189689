"""Several devices: a batch whose process died is asked again as it was."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from vlmprobe.errors import WorkerError
from vlmprobe.families import pool
from vlmprobe.families.base import Model, OpenFamily
from vlmprobe.families.pool import DevicePool
from vlmprobe.families.worker import LoadOptions


@dataclass
class _Process(Model):
    """Stands for a model in a process: a real one cannot be made to die between two certain calls."""

    asked: list[tuple[Any, Future[Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.info = _Info({})  # type: ignore[assignment]

    def submit(self, items: Any, *, how: Any = "fast") -> Future[Any]:  # noqa: ARG002
        promised: Future[Any] = Future()
        self.asked.append((items, promised))
        return promised

    def fitting_batch(self, items: Any) -> int:  # noqa: ARG002
        return 1

    def first_prompt(self, item: Any) -> dict[str, Any]:  # noqa: ARG002
        return {}

    def close(self) -> None:
        for _, promised in self.asked:
            promised.cancel()


@dataclass(frozen=True)
class _Info:
    manifest: dict[str, Any]


class _Family(OpenFamily):
    def __init__(self, started: list[_Process]) -> None:
        self._started = started

    def resolve(self, options: LoadOptions) -> LoadOptions:
        return options

    def load(self, options: LoadOptions) -> _Process:  # noqa: ARG002
        self._started.append(_Process())
        return self._started[-1]

    def close(self) -> None:
        pass


def test_batches_behind_the_one_that_a_process_died_at_stay_whole(wait_until: Any) -> None:
    """They are cancelled with it; the process that takes its place is given all of them, as they were."""
    started: list[_Process] = []
    pool = DevicePool(lambda _: _Family(started), LoadOptions("checkpoint", devices=("cpu",)))
    pool.warn = lambda _: None
    batches: list[Any] = [[SimpleNamespace(pair_id=name)] for name in "abc"]
    promised = [pool.submit(batch) for batch in batches]

    first = started[0]
    # In the order in which a process takes its calls with it: what waits is cancelled before the call at work fails.
    first.asked[0][1].set_running_or_notify_cancel()
    first.asked[1][1].cancel()
    first.asked[2][1].cancel()
    first.asked[0][1].set_exception(WorkerError("gone"))
    wait_until(lambda: len(started) == 2 and len(started[1].asked) == 3)

    assert [items for items, _ in started[1].asked] == batches
    for number, (_, again) in enumerate(started[1].asked):
        again.set_result(number)
    assert [each.result(1) for each in promised] == [0, 1, 2]
    pool.close()


def test_a_pool_gives_back_idle_processes_and_stops_those_that_failed() -> None:
    """An error that is not about memory may have left a GPU unusable for whoever comes next."""
    started: list[_Process] = []
    kept: list[str] = []
    options = LoadOptions("checkpoint", devices=("one", "other"))
    pool = DevicePool(lambda _: _Family(started), options, lambda device, _: kept.append(device))
    promised = [pool.submit([SimpleNamespace(pair_id=name)]) for name in "ab"]  # type: ignore[list-item]
    first, second = started
    first.asked[0][1].set_exception(RuntimeError("CUDA error: an illegal memory access was encountered"))
    second.asked[0][1].set_result("answers")
    assert promised[0].exception(1) is not None
    assert promised[1].result(1) == "answers"
    pool.close()
    assert len(kept) == 1


def test_ctrl_c_while_a_checkpoint_is_loaded_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A load may be a download; nobody would wait for it, and nothing else knows the process yet."""
    ended, begun = Event(), Event()

    class Loading(_Family):
        def load(self, options: LoadOptions) -> _Process:  # noqa: ARG002
            begun.set()
            ended.wait(10)
            raise WorkerError("was stopped")

        def close(self) -> None:
            ended.set()

    def interrupted(_: object) -> None:
        assert begun.wait(10)
        raise KeyboardInterrupt

    monkeypatch.setattr(pool, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        DevicePool(lambda _: Loading([]), LoadOptions("x", devices=("cuda:0",)))
    assert ended.is_set()
