"""Several places share one queue: no batch is lost or answered twice, whatever becomes of the processes."""

from __future__ import annotations

import random
import threading
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.errors import ModelError, WorkerError
from vlmprobe.families import OutOfMemoryError, pool
from vlmprobe.families.base import Model, NotExactError, OpenFamily
from vlmprobe.families.pool import DevicePool, Place
from vlmprobe.families.worker import LoadOptions

if TYPE_CHECKING:
    from collections.abc import Callable

OPTIONS = LoadOptions(checkpoint="checkpoint")


@dataclass(eq=False)
class _Process(Model):
    """Stands for a model in a process: a real one cannot be made to die between two certain calls."""

    place: str
    torch: str = "2.9"
    asked: list[tuple[Any, str, Future[Any]]] = field(default_factory=list)
    is_dead: bool = False
    free: int | None = None

    depth = 2

    def __post_init__(self) -> None:
        self.info = _Info({"torch": self.torch})  # type: ignore[assignment]

    def submit(self, items: Any, *, how: Any = "fast") -> Future[Any]:
        promised: Future[Any] = Future()
        if self.is_dead:
            promised.set_exception(WorkerError("gone"))
            return promised
        self.asked.append((items, how, promised))
        return promised

    def fitting_batch(self, items: Any) -> int:  # noqa: ARG002
        if self.is_dead:
            raise WorkerError("gone")
        return len(self.place)

    def room(self) -> int | None:
        if self.is_dead:
            raise WorkerError("gone")
        return self.free

    def first_prompt(self, item: Any) -> dict[str, Any]:  # noqa: ARG002
        if self.is_dead:
            raise WorkerError("gone")
        return {"text": self.place}

    def close(self) -> None:
        for *_, promised in self.asked:
            promised.cancel()

    def answer(self) -> None:
        """Answer the first batch that waits."""
        items, how, promised = next(each for each in self.asked if not each[-1].done())
        promised.set_result((items, how))

    def die(self, *, cancels: bool = False) -> None:
        """Fail as a process does: what waits is cancelled before the call at work fails, or fails after it."""
        self.is_dead = True
        waiting = [promised for *_, promised in self.asked if not promised.done()]
        for promised in waiting[1:] if cancels else ():
            promised.cancel()
        for promised in waiting:
            with suppress(InvalidStateError):  # it was closed meanwhile
                promised.set_exception(WorkerError("gone", "rerun the same command"))

    @property
    def n_open(self) -> int:
        return sum(not promised.done() for *_, promised in self.asked)


@dataclass(frozen=True)
class _Info:
    manifest: dict[str, Any]
    n_layers: int = 4
    layers: tuple[int, ...] = (0, 1, 2, 3)
    dim: int = 8
    dtype: str = "float32"


class _Family(OpenFamily):
    def __init__(self, load: Callable[[], _Process]) -> None:
        self._load = load

    def resolve(self, options: LoadOptions) -> LoadOptions:
        return options

    def load(self, options: LoadOptions) -> _Process:  # noqa: ARG002
        return self._load()

    def close(self) -> None:
        pass


class _Places:
    """Makes a pool of places by name, and remembers the processes of each, in the order in which they started."""

    def __init__(self) -> None:
        self.started: dict[str, list[_Process]] = {}
        self.lines: list[str] = []
        self.kept: list[str] = []
        self.refuse: dict[str, Exception] = {}
        """What loading raises at a place from now on."""
        self.versions: dict[str, str] = {}

    def pool(self, *names: str, elsewhere: bool = True) -> DevicePool:
        made = DevicePool(
            [
                Place(name, "cpu", self._opener(name), lambda _, name=name: self.kept.append(name))
                for name in names
            ],
            OPTIONS,
            elsewhere=elsewhere,
        )
        made.warn = self.lines.append
        return made

    def _opener(self, name: str) -> Callable[[], OpenFamily]:
        def load() -> _Process:
            if name in self.refuse:
                raise self.refuse[name]
            process = _Process(name, self.versions.get(name, "2.9"))
            self.started.setdefault(name, []).append(process)
            return process

        return lambda: _Family(load)

    def __getitem__(self, name: str) -> _Process:
        """Return the newest process of a place."""
        return self.started[name][-1]


@pytest.fixture
def places() -> _Places:
    """No pool yet."""
    return _Places()


@pytest.fixture
def both(places: _Places, wait_until: Any) -> DevicePool:
    """Open a pool of places ``a`` and ``b``, once both are there."""
    made = places.pool("a", "b")
    wait_until(lambda: made.depth == 4)
    return made


def _batch(name: object) -> Any:
    return [SimpleNamespace(pair_id=name)]


def test_a_free_place_takes_the_next_batch(places: _Places, both: DevicePool) -> None:
    """However long another needs for what it has; answers belong to their batches."""
    batches = [_batch(number) for number in range(8)]
    promised = [both.submit(batch) for batch in batches]
    assert (places["a"].n_open, places["b"].n_open) == (2, 2)

    for _ in range(6):
        places["b"].answer()
    assert [items for items, *_ in places["a"].asked] == [batches[0], batches[2]]
    assert [each.done() for each in promised] == [False, True, False, True, True, True, True, True]
    for _ in range(2):
        places["a"].answer()
    assert [each.result(1) for each in promised] == [(batch, "fast") for batch in batches]


def test_batches_of_a_lost_process_go_to_the_others_at_once_as_they_were(
    places: _Places, both: DevicePool
) -> None:
    """Before those that nobody has had yet, whichever way they are asked; one line says it."""
    ways = ("fast", "plain", "exact", "fast", "plain", "fast")
    batches = [_batch(number) for number in range(6)]
    promised = [both.submit(batch, how=how) for batch, how in zip(batches, ways, strict=True)]  # type: ignore[arg-type]
    places.refuse["a"] = WorkerError("the node is gone")
    places["a"].die()
    for _ in batches:
        places["b"].answer()

    asked = [(items, how) for items, how, _ in places["b"].asked]
    expected = [(batches[number], ways[number]) for number in (1, 3, 0, 2, 4, 5)]
    assert asked == expected
    assert [each.result(1) for each in promised] == list(zip(batches, ways, strict=True))
    assert places.lines[0] == (
        "a: its process died and is being restarted (gone); 2 of its batches are asked again elsewhere"
    )


def test_a_place_that_cannot_be_restarted_is_given_up_in_one_line(
    places: _Places, both: DevicePool, wait_until: Any
) -> None:
    """The pool goes on with the other; when that is lost too, every batch ends in the error."""
    promised = [both.submit(_batch(number)) for number in range(5)]
    places.refuse["a"] = WorkerError("the node is gone")
    places["a"].die()
    wait_until(lambda: len(places.lines) == 2)
    assert places.lines[1] == (
        "a: given up (the node is gone); 2 of its batches are asked again elsewhere; going on with 1 of 2 places"
    )
    assert both.depth == 2
    places["b"].answer()
    places.refuse["b"] = WorkerError("so is this one")
    places["b"].die()
    errors = [each.exception(10) for each in promised]
    assert [str(error) for error in errors if error is not None] == ["the node is gone"] * 4
    assert sum(error is None for error in errors) == 1
    assert isinstance(both.submit(_batch("late")).exception(1), WorkerError)
    with pytest.raises(WorkerError, match="the node is gone"):
        both.first_prompt(_batch("late")[0])


def test_a_process_that_died_is_restarted_once(places: _Places, both: DevicePool, wait_until: Any) -> None:
    """And takes batches again; the second time its place is given up."""
    for number in range(4):
        both.submit(_batch(number))
    places["a"].die()
    wait_until(lambda: len(places.started["a"]) == 2 and both.depth == 4)
    assert places["a"].n_open == 2
    places["a"].die()
    assert both.depth == 2
    assert places.lines[-1].startswith("a: given up (gone); 4 of its batches are")


def test_batches_behind_the_one_that_the_only_process_died_at_stay_whole(
    places: _Places, wait_until: Any
) -> None:
    """They wait for the process that takes its place, which is given all of them, as they were."""
    alone = places.pool("a", elsewhere=False)
    batches = [_batch(name) for name in "abc"]
    promised = [alone.submit(batch) for batch in batches]
    places["a"].die(cancels=True)
    wait_until(lambda: len(places.started["a"]) == 2 and places["a"].n_open == 2)
    for _ in batches:
        places["a"].answer()
    assert [each.result(1) for each in promised] == [(batch, "fast") for batch in batches]
    assert places.lines[0].endswith("; 2 of its batches are asked again")
    alone.close()


def test_an_answer_that_comes_after_its_batch_was_given_to_another_is_dropped(
    places: _Places, both: DevicePool
) -> None:
    """A batch has one answer: that of the process that has it."""
    promised = [both.submit(_batch(number)) for number in range(2)]
    late = places["a"].asked[0][-1]
    assert late.set_running_or_notify_cancel()
    places.refuse["a"] = WorkerError("the node is gone")
    both._lose(both._workers[0], places["a"], WorkerError("cut off"))
    late.set_result("an answer of the past")
    assert not promised[0].done()
    for _ in range(2):
        places["b"].answer()
    assert promised[0].result(1) == (_batch(0), "fast")


@pytest.mark.parametrize("seed", range(12))
def test_whoever_dies_and_whenever_each_batch_has_its_own_answer_once(
    seed: int, places: _Places, wait_until: Any
) -> None:
    """Three places, of which one never dies for good; what is answered, and who dies, is drawn by seed."""
    drawn = random.Random(seed)
    three = places.pool("a", "b", "c")
    wait_until(lambda: three.depth == 6)
    batches = [_batch(number) for number in range(30)]
    promised = [three.submit(batch) for batch in batches]
    n_answered, n_deaths = 0, {"a": 0, "b": 0, "c": 0}
    while not all(each.done() for each in promised):
        alive = [name for name in "abc" if not places[name].is_dead and places[name].n_open]
        wait_until(lambda: any(places[name].n_open for name in "abc"))
        if not alive:
            continue
        name = drawn.choice(alive)
        if drawn.random() < 0.2 and n_deaths[name] < (1 if name == "c" else 2):
            n_deaths[name] += 1
            places[name].die(cancels=drawn.random() < 0.5)
        else:
            places[name].answer()
            n_answered += 1
    assert [each.result(1) for each in promised] == [(batch, "fast") for batch in batches]
    assert n_answered == len(batches)
    three.close()


def test_a_batch_that_nobody_waits_for_any_more_is_not_handed_out(places: _Places, both: DevicePool) -> None:
    """After a failed certificate the batches in the queue are asked another way."""
    promised = [both.submit(_batch(number)) for number in range(6)]
    assert promised[4].cancel()
    for _ in range(2):
        places["a"].answer()
    assert [items[0].pair_id for items, *_ in places["a"].asked] == [0, 2, 5]


@pytest.mark.parametrize("error", [OutOfMemoryError("too many"), NotExactError(), RuntimeError("shapes")])
def test_an_error_of_the_batch_is_the_batchs(error: Exception, places: _Places, both: DevicePool) -> None:
    """It is not asked again elsewhere: whoever submitted it halves it, or records it."""
    promised = both.submit(_batch("x"))
    places["a"].asked[0][-1].set_exception(error)
    assert promised.exception(1) is error
    assert places["b"].asked == []
    both.close()
    assert ("a" in places.kept) == (not isinstance(error, RuntimeError))


def test_a_question_about_the_model_goes_to_another_place_if_one_dies(
    places: _Places, both: DevicePool
) -> None:
    """And the batch size is the smallest of those that are there."""
    assert both.first_prompt(_batch("x")[0]) == {"text": "a"}
    assert both.fitting_batch(_batch("x")) == 1
    places.refuse["a"] = WorkerError("the node is gone")
    places["a"].is_dead = True
    assert both.first_prompt(_batch("x")[0]) == {"text": "b"}


def test_a_batch_has_the_room_of_the_place_that_has_least(places: _Places, both: DevicePool) -> None:
    """Where one does not know it, nobody does; one that dies meanwhile does not count."""
    places["a"].free, places["b"].free = 3, 2
    assert both.room() == 2
    places["b"].free = None
    assert both.room() is None
    places.refuse["b"] = WorkerError("the node is gone")
    places["b"].is_dead = True
    assert both.room() == 3


def test_a_place_that_hangs_while_it_starts_holds_up_none(places: _Places, wait_until: Any) -> None:
    """The pool is ready with the first that is there; the other joins when it comes, or ends with the pool."""
    let_go = Event()
    opener = places._opener("slow")

    class Slow(_Family):
        def load(self, options: LoadOptions) -> _Process:
            let_go.wait(60)
            return super().load(options)

    slow = Place("slow", "cpu", lambda: Slow(opener()._load))  # type: ignore[attr-defined]
    made = DevicePool([slow, Place("a", "cpu", places._opener("a"))], OPTIONS, elsewhere=True)
    promised = [made.submit(_batch(number)) for number in range(4)]
    for _ in range(2):
        places["a"].answer()
    assert (promised[0].done(), made.depth) == (True, 2)
    assert made.info.manifest["devices"] == ["slow", "a"]
    let_go.set()
    wait_until(lambda: made.depth == 4)
    assert places["a"].n_open == 2
    more = made.submit(_batch("more"))
    places["slow"].answer()
    assert more.result(1) == (_batch("more"), "fast")


def test_a_place_whose_numbers_could_differ_is_not_used(places: _Places, wait_until: Any) -> None:
    """Other versions have other last bits; which batch is answered where is chance."""
    places.versions = {"a": "2.9", "b": "2.4"}
    made = places.pool("a", "b")
    wait_until(lambda: any(worker.given_up is not None for worker in made._workers))
    made.submit(_batch("x"))
    (line,) = places.lines
    assert "given up (its torch is " in line
    assert line.endswith(": their numbers could differ); going on with 1 of 2 places")


def test_a_mistake_at_every_place_is_an_error_of_loading(places: _Places) -> None:
    """Tried once: it would be the same again."""
    places.refuse = {name: ModelError(f"{name}: there is no such checkpoint") for name in "ab"}
    with pytest.raises(ModelError, match="a: there is no such checkpoint"):
        places.pool("a", "b")


def test_devices_of_this_machine_have_to_load_all(places: _Places) -> None:
    """What is wrong with one is for the user to see before the run begins; the others are kept."""
    places.refuse = {"b": OutOfMemoryError("no room on b")}
    with pytest.raises(OutOfMemoryError, match="no room on b"):
        places.pool("a", "b", elsewhere=False)
    assert places.kept == ["a"]


def test_a_pool_gives_back_idle_processes_and_stops_those_that_failed(
    places: _Places, both: DevicePool
) -> None:
    """An error that is not about memory may have left a GPU unusable for whoever comes next."""
    promised = [both.submit(_batch(name)) for name in "ab"]
    places["a"].asked[0][-1].set_exception(
        RuntimeError("CUDA error: an illegal memory access was encountered")
    )
    places["b"].answer()
    assert promised[0].exception(1) is not None
    assert promised[1].result(1)
    both.close()
    assert places.kept == ["b"]


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
    place = Place("cuda:0", "cuda:0", lambda: Loading(lambda: _Process("cuda:0")))
    with pytest.raises(KeyboardInterrupt):
        DevicePool([place], LoadOptions("x", devices=("cuda:0",)))
    assert ended.is_set()


def test_a_pool_that_is_closed_ends_what_still_starts(places: _Places) -> None:
    """A far place may need minutes, and the command is over."""
    ended = threading.Event()

    class Loading(_Family):
        def load(self, options: LoadOptions) -> _Process:  # noqa: ARG002
            ended.wait(60)
            raise WorkerError("was stopped")

        def close(self) -> None:
            ended.set()

    far = Place("far", "cpu", lambda: Loading(lambda: _Process("far")))
    made = DevicePool([Place("a", "cpu", places._opener("a")), far], OPTIONS, elsewhere=True)
    made.close()
    assert ended.wait(10)
