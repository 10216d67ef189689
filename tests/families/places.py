"""Places of a pool without machines: a real process cannot be made to die between two certain calls."""

from __future__ import annotations

from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from vlmprobe.errors import WorkerError
from vlmprobe.families.base import Model, OpenFamily
from vlmprobe.families.pool import DevicePool, Place
from vlmprobe.families.worker import LoadOptions

if TYPE_CHECKING:
    from collections.abc import Callable

OPTIONS = LoadOptions(checkpoint="checkpoint")


@dataclass(eq=False)
class PlacedProcess(Model):
    """Stands for a model in a process."""

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


class PlacedFamily(OpenFamily):
    def __init__(self, load: Callable[[], PlacedProcess]) -> None:
        self._load = load

    def resolve(self, options: LoadOptions) -> LoadOptions:
        return options

    def load(self, options: LoadOptions) -> PlacedProcess:  # noqa: ARG002
        return self._load()

    def close(self) -> None:
        pass


class PlacesByName:
    """Makes a pool of places by name, and remembers the processes of each, in the order in which they started."""

    def __init__(self) -> None:
        self.started: dict[str, list[PlacedProcess]] = {}
        self.lines: list[str] = []
        self.kept: list[str] = []
        self.refuse: dict[str, Exception] = {}
        """What loading raises at a place from now on."""
        self.versions: dict[str, str] = {}

    def pool(self, *names: str, elsewhere: bool = True) -> DevicePool:
        made = DevicePool(
            [
                Place(name, "cpu", self.opener(name), lambda _, name=name: self.kept.append(name))
                for name in names
            ],
            OPTIONS,
            elsewhere=elsewhere,
        )
        made.warn = self.lines.append
        return made

    def opener(self, name: str) -> Callable[[], OpenFamily]:
        def load() -> PlacedProcess:
            if name in self.refuse:
                raise self.refuse[name]
            process = PlacedProcess(name, self.versions.get(name, "2.9"))
            self.started.setdefault(name, []).append(process)
            return process

        return lambda: PlacedFamily(load)

    def __getitem__(self, name: str) -> PlacedProcess:
        """Return the newest process of a place."""
        return self.started[name][-1]


def batch_of(name: object) -> Any:
    """Return a batch of one pair."""
    return [SimpleNamespace(pair_id=name)]
