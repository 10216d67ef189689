"""How the places of a pool begin and end: what is loaded where, what is not used, and what is closed."""

from __future__ import annotations

import threading
from threading import Event
from typing import TYPE_CHECKING

import pytest

from vlmprobe.errors import ModelError, WorkerError
from vlmprobe.families import OutOfMemoryError, pool
from vlmprobe.families.pool import DevicePool, Place
from vlmprobe.families.worker import LoadOptions

from .places import OPTIONS, PlacedFamily, PlacedProcess, batch_of

if TYPE_CHECKING:
    from typing import Any

    from .places import PlacesByName


def test_a_place_that_hangs_while_it_starts_holds_up_none(places: PlacesByName, wait_until: Any) -> None:
    """The pool is ready with the first that is there; the other joins when it comes, or ends with the pool."""
    let_go = Event()
    opener = places.opener("slow")

    class Slow(PlacedFamily):
        def load(self, options: LoadOptions) -> PlacedProcess:
            let_go.wait(60)
            return super().load(options)

    slow = Place("slow", "cpu", lambda: Slow(opener()._load))  # type: ignore[attr-defined]
    made = DevicePool([slow, Place("a", "cpu", places.opener("a"))], OPTIONS, elsewhere=True)
    promised = [made.submit(batch_of(number)) for number in range(4)]
    for _ in range(2):
        places["a"].answer()
    assert (promised[0].done(), made.depth) == (True, 2)
    assert made.info.manifest["devices"] == ["slow", "a"]
    let_go.set()
    wait_until(lambda: made.depth == 4)
    assert places["a"].n_open == 2
    more = made.submit(batch_of("more"))
    places["slow"].answer()
    assert more.result(1) == (batch_of("more"), "fast")


def test_a_place_whose_numbers_could_differ_is_not_used(places: PlacesByName, wait_until: Any) -> None:
    """Other versions have other last bits; which batch is answered where is chance."""
    places.versions = {"a": "2.9", "b": "2.4"}
    made = places.pool("a", "b")
    wait_until(lambda: any(worker.given_up is not None for worker in made._workers))
    made.submit(batch_of("x"))
    (line,) = places.lines
    assert "given up (its torch is " in line
    assert line.endswith(": their numbers could differ); going on with 1 of 2 places")


def test_a_mistake_at_every_place_is_an_error_of_loading(places: PlacesByName) -> None:
    """Tried once: it would be the same again."""
    places.refuse = {name: ModelError(f"{name}: there is no such checkpoint") for name in "ab"}
    with pytest.raises(ModelError, match="a: there is no such checkpoint"):
        places.pool("a", "b")


def test_devices_of_this_machine_have_to_load_all(places: PlacesByName) -> None:
    """What is wrong with one is for the user to see before the run begins; the others are kept."""
    places.refuse = {"b": OutOfMemoryError("no room on b")}
    with pytest.raises(OutOfMemoryError, match="no room on b"):
        places.pool("a", "b", elsewhere=False)
    assert places.kept == ["a"]


def test_a_pool_gives_back_idle_processes_and_stops_those_that_failed(
    places: PlacesByName, both_places: DevicePool
) -> None:
    """An error that is not about memory may have left a GPU unusable for whoever comes next."""
    promised = [both_places.submit(batch_of(name)) for name in "ab"]
    places["a"].asked[0][-1].set_exception(
        RuntimeError("CUDA error: an illegal memory access was encountered")
    )
    places["b"].answer()
    assert promised[0].exception(1) is not None
    assert promised[1].result(1)
    both_places.close()
    assert places.kept == ["b"]


def test_ctrl_c_while_a_checkpoint_is_loaded_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A load may be a download; nobody would wait for it, and nothing else knows the process yet."""
    ended, begun = Event(), Event()

    class Loading(PlacedFamily):
        def load(self, options: LoadOptions) -> PlacedProcess:  # noqa: ARG002
            begun.set()
            ended.wait(10)
            raise WorkerError("was stopped")

        def close(self) -> None:
            ended.set()

    def interrupted(_: object) -> None:
        assert begun.wait(10)
        raise KeyboardInterrupt

    monkeypatch.setattr(pool, "wait", interrupted)
    place = Place("cuda:0", "cuda:0", lambda: Loading(lambda: PlacedProcess("cuda:0")))
    with pytest.raises(KeyboardInterrupt):
        DevicePool([place], LoadOptions("x", devices=("cuda:0",)))
    assert ended.is_set()


def test_a_pool_that_is_closed_ends_what_still_starts(places: PlacesByName) -> None:
    """A far place may need minutes, and the command is over."""
    ended = threading.Event()

    class Loading(PlacedFamily):
        def load(self, options: LoadOptions) -> PlacedProcess:  # noqa: ARG002
            ended.wait(60)
            raise WorkerError("was stopped")

        def close(self) -> None:
            ended.set()

    far = Place("far", "cpu", lambda: Loading(lambda: PlacedProcess("far")))
    made = DevicePool([Place("a", "cpu", places.opener("a")), far], OPTIONS, elsewhere=True)
    made.close()
    assert ended.wait(10)


def test_a_place_that_comes_after_the_first_has_died_must_be_like_it(
    places: PlacesByName, wait_until: Any
) -> None:
    """The first left answers in the run; another kind of GPU would not have given them."""
    made = places.pool("a", "b")
    wait_until(lambda: made.depth == 4)
    for name in "ab":
        places.refuse[name] = WorkerError("the node is gone")
    places["b"].die()
    made.submit(batch_of("x"))
    places.versions["a"] = "2.4"
    places.refuse.pop("a")
    places["a"].die()
    wait_until(lambda: all(worker.given_up is not None for worker in made._workers))
    why = str(made._workers[0].given_up)
    assert why.startswith("its torch is 2.4, and that of ")
    assert why.endswith(" is 2.9: their numbers could differ")


def test_a_place_that_cannot_be_closed_keeps_no_other_open(
    places: PlacesByName, wait_until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its machine may be gone, and its pipe with it; a process that is restarted is restarted all the same."""
    made = places.pool("a", "b")
    wait_until(lambda: made.depth == 4)
    closed: list[str] = []

    def close(process: PlacedProcess) -> None:
        closed.append(process.place)
        raise BrokenPipeError(process.place)

    monkeypatch.setattr(PlacedProcess, "close", close)
    made.submit(batch_of("x"))
    places["a"].die()
    wait_until(lambda: len(places.started["a"]) == 2 and made.depth == 4)
    for worker in made._workers:
        worker.failed = True  # so that none is kept
    made.close()
    assert closed == ["a", "a", "b"]
