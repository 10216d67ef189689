"""One model at one place or several, with a process for each; a free place takes the next batch."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from vlmprobe.errors import WorkerError, first_line
from vlmprobe.families.alike import check_alike
from vlmprobe.families.base import Model
from vlmprobe.families.batch_queue import BatchQueue, Taker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from vlmprobe.families.base import How, OpenFamily
    from vlmprobe.families.worker import BatchItem, BatchOutput, LoadOptions, ModelInfo, Unembedding

__all__ = ["DevicePool", "Place"]

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Place:
    """A device, here or on another machine, for which a process can be started."""

    name: str
    """What messages call it."""
    device: str
    open: Callable[[], OpenFamily]
    """Opens the family in a process of its own there."""
    keep: Callable[[Any], None] | None = None
    """Takes the process back when it is idle; None = it is stopped."""


class _Worker(Taker):
    """A place, and its process while there is one."""

    def __init__(self, place: Place) -> None:
        super().__init__(place.name)
        self.place = place
        self.family: OpenFamily | None = None
        self.may_restart = True
        self.n_again = 0
        """How many batches it had when its process died."""
        self.given_up: BaseException | None = None
        """Why there will be no process any more."""


class DevicePool(Model):
    """One process per place; they share one queue of batches.

    A process that dies is restarted once, in the background; its batches are asked again, as they were, wherever there
    is room. A place whose process dies again, or cannot be started, is given up: the pool goes on while it has another.
    """

    def __init__(self, places: Sequence[Place], options: LoadOptions, *, elsewhere: bool = False) -> None:
        """Start one process per place and load the checkpoint in all of them in parallel.

        Args:
            places: at least one.
            options: what to load.
            elsewhere: whether the places are other machines. Then the pool is ready as soon as one is, and the others
                join later: one that is out of reach holds up none. Else it waits for all, and each has to load.

        Raises:
            Exception: what loading raised at a place; at the first, if none of those elsewhere could load.
        """
        self._workers = [_Worker(place) for place in places]
        self._options, self._elsewhere = options, elsewhere
        self._queue = BatchQueue(self._workers, self._lose)
        self._changed = self._queue.changed
        self._closed = False
        self._opening: list[OpenFamily] = []
        self._unsaid: list[str] | None = []
        """What is to be said once somebody may listen; None since then."""
        self._loaded: list[tuple[str, ModelInfo]] = []
        """Places in the order in which they loaded: all numbers of a run have to be like those of the first."""
        try:
            (self._open_some if elsewhere else self._open_all)()
        except BaseException:
            # Ctrl-C, too: a load that goes on for minutes ends with its process.
            self.close()
            raise
        _, info = self._loaded[0]
        self.info = replace(
            info, manifest={**info.manifest, "devices": [worker.name for worker in self._workers]}
        )

    def submit(self, items: Sequence[BatchItem], *, how: How = "fast") -> Future[BatchOutput]:
        """See :meth:`Model.submit`."""
        with self._changed:
            unsaid, self._unsaid = self._unsaid or [], None
        for line in unsaid:
            self.warn(line)
        return self._queue.submit(items, how)

    def first_prompt(self, item: BatchItem) -> dict[str, Any]:
        """See :meth:`Model.first_prompt`."""
        return self._ask_one(lambda model: model.first_prompt(item))

    def unembedding(self, words: Sequence[str]) -> Unembedding | None:
        """See :meth:`Model.unembedding`; all places hold the same."""
        return self._ask_one(lambda model: model.unembedding(words))

    def fitting_batch(self, items: Sequence[BatchItem]) -> int:
        """See :meth:`Model.fitting_batch`; the smallest of all places that are there."""
        sizes = self._ask_all(lambda model: model.fitting_batch(items))
        return min(sizes, default=0) or self._ask_one(lambda model: model.fitting_batch(items))

    def room(self) -> int | None:
        """See :meth:`Model.room`; None where a place does not know it."""
        found = self._ask_all(lambda model: model.room())
        return min((each or 0 for each in found), default=0) or None

    def close(self) -> None:
        """Stop all processes, or give those back that are idle."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            opening = list(self._opening)
            self._changed.notify_all()
        self._queue.close()
        for family in opening:
            _close(family)
        for worker in self._workers:
            keep = worker.place.keep
            if worker.family is not None and keep is not None and not (worker.calls or worker.failed):
                keep(worker.family)
            else:
                _close(worker.model, worker.family)

    def _open_all(self) -> None:
        threads = ThreadPoolExecutor(len(self._workers), "vlmprobe-load")
        try:
            loading = [threads.submit(self._start, worker) for worker in self._workers]
            wait(loading)
        finally:
            threads.shutdown(wait=False)
        for each in loading:
            each.result()

    def _open_some(self) -> None:
        for worker in self._workers:
            self._start_in_background(worker)
        self._await_one()

    def _start(self, worker: _Worker) -> None:
        """Start a process and load the checkpoint in it; from then on it takes batches."""
        family = worker.place.open()
        with self._changed:
            self._opening.append(family)
        device = worker.place.device
        try:
            self._check_open(worker)
            model = family.load(replace(self._options, device=device, devices=(device,)))
            with self._changed:
                self._join(worker, family, model)
        except BaseException:
            _close(family)
            raise
        finally:
            with self._changed:
                self._opening.remove(family)

    def _join(self, worker: _Worker, family: OpenFamily, model: Model) -> None:
        self._check_open(worker)
        # It may have died since, and left answers.
        self._loaded.append((worker.name, model.info))
        if self._elsewhere:
            check_alike(*self._loaded[0], model.info)
        worker.family, worker.model, worker.failed = family, model, False
        self._note_change()

    def _check_open(self, worker: _Worker) -> None:
        if self._closed:
            raise WorkerError(f"{worker.name}: was stopped")

    def _start_in_background(self, worker: _Worker, *before: Model | OpenFamily | None) -> None:
        def start() -> None:
            _close(*before)
            try:
                self._start(worker)
            except Exception as error:  # noqa: BLE001  (whoever waits for its batches gets it)
                self._fail_to_start(worker, error)

        threading.Thread(target=start, name="vlmprobe-load", daemon=True).start()

    def _lose(self, worker: Taker, model: Model, error: WorkerError) -> None:
        """Take the batches of a process that died back, and restart it or give its place up."""
        assert isinstance(worker, _Worker)  # noqa: S101  (the queue has no others)
        with self._changed:
            if self._closed or worker.model is not model:
                return
            family, worker.family = worker.family, None
            n = self._queue.take_back(worker)
            worker.n_again += n
            if worker.may_restart:
                worker.may_restart = False
                where = " elsewhere" if any(each.model is not None for each in self._workers) else ""
                again = f"; {_batches(n)} asked again{where}" if n else ""
                self._say(f"{worker.name}: its process died and is being restarted ({_why(error)}){again}")
                self._start_in_background(worker, model, family)
            else:
                self._give_up(worker, error)
            self._note_change()

    def _fail_to_start(self, worker: _Worker, error: Exception) -> None:
        with self._changed:
            if self._closed:
                return
            if isinstance(error, WorkerError) and worker.may_restart:
                worker.may_restart = False
                self._say(f"{worker.name}: its process did not start; trying once more ({_why(error)})")
                self._start_in_background(worker)
            else:
                self._give_up(worker, error)
                self._note_change()

    def _give_up(self, worker: _Worker, error: BaseException) -> None:
        worker.given_up = error
        left = sum(each.given_up is None for each in self._workers)
        if left:
            again = f"; {_batches(worker.n_again)} asked again elsewhere" if worker.n_again else ""
            self._say(
                f"{worker.name}: given up ({_why(error)}){again}; "
                f"going on with {left} of {len(self._workers)} places"
            )
        else:
            self._queue.fail(self._lost or error)

    def _note_change(self) -> None:
        self.depth = sum(worker.model.depth for worker in self._workers if worker.model is not None)
        self._queue.hand_out()
        self._changed.notify_all()

    @property
    def _lost(self) -> BaseException | None:
        """Why no place is left; None while one is."""
        errors = [worker.given_up for worker in self._workers]
        return None if None in errors else errors[0]

    def _await_one(self) -> tuple[_Worker, Model]:
        """Wait until a process is there.

        Raises:
            Exception: what ended the first place, since none is left.
            ValueError: the pool was closed.
        """
        with self._changed:
            while True:
                for worker in self._workers:
                    if worker.model is not None:
                        return worker, worker.model
                if self._lost is not None:
                    raise self._lost
                if self._closed:
                    raise ValueError("this model was closed")
                self._changed.wait()

    def _ask_all(self, ask: Callable[[Model], Result]) -> list[Result]:
        """Ask every process that is there at once; one that dies meanwhile is left out."""

        def answers(worker: _Worker, model: Model) -> list[Result]:
            try:
                return [ask(model)]
            except WorkerError as error:
                self._lose(worker, model, error)
                return []

        with self._changed:
            there = [(worker, worker.model) for worker in self._workers if worker.model is not None]
        with ThreadPoolExecutor(max(len(there), 1)) as threads:
            return [answer for found in threads.map(lambda pair: answers(*pair), there) for answer in found]

    def _ask_one(self, ask: Callable[[Model], Result]) -> Result:
        """Ask a process that is there; another one if it dies meanwhile."""
        while True:
            worker, model = self._await_one()
            try:
                return ask(model)
            except WorkerError as error:
                self._lose(worker, model, error)

    def _say(self, line: str) -> None:
        if self._unsaid is None:
            self.warn(line)
        else:
            self._unsaid.append(line)


def _close(*those: Model | OpenFamily | None) -> None:
    """Close what there is; where that fails, its process is gone or the connection to it is: the others go on."""
    for each in those:
        if each is not None:
            with suppress(Exception):
                each.close()


def _why(error: BaseException) -> str:
    return error.what if isinstance(error, WorkerError) else first_line(error)


def _batches(n: int) -> str:
    return f"{n} of its batches {'is' if n == 1 else 'are'}"
