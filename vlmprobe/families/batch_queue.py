"""One queue of batches for several processes: a free one takes the next, and what a lost one had goes back."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vlmprobe.errors import WorkerError
from vlmprobe.families.base import NotExactError
from vlmprobe.families.worker import OutOfMemoryError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vlmprobe.families.base import How, Model
    from vlmprobe.families.worker import BatchItem, BatchOutput

__all__ = ["BatchQueue", "Taker"]


@dataclass(eq=False)
class _Call:
    """A submitted batch and the future of its output."""

    number: int
    items: Sequence[BatchItem]
    how: How
    promised: Future[BatchOutput]


@dataclass(eq=False)
class Taker:
    """Who takes batches, and those that it has."""

    name: str
    model: Model | None = None
    """None while it has none; then it takes no batch."""
    calls: list[_Call] = field(default_factory=list)
    failed: bool = False
    """Whether a call ended in an error that may have left the model unusable."""

    @property
    def room(self) -> int:
        """How many batches it would take."""
        return 0 if self.model is None else self.model.depth - len(self.calls)


class BatchQueue:
    """Batches in the order in which they were submitted, each with one taker at a time and with one answer.

    A batch goes to whoever has the fewest, up to the depth of its model. The answer counts of the taker that has the
    batch; one that was declared lost has none any more.
    """

    def __init__(self, takers: Sequence[Taker], lost: Callable[[Taker, Model, WorkerError], None]) -> None:
        """Begin empty.

        Args:
            takers: the same from now on; their models come and go.
            lost: called, perhaps under the lock, when a taker's model fails in a way that is not the batch's.
        """
        self.changed = threading.Condition(threading.RLock())
        """Held while anything here changes; whoever changes a taker holds it, too."""
        self._takers, self._report = takers, lost
        self._waiting: deque[_Call] = deque()
        self._n_calls = 0
        self._error: BaseException | None = None
        self._closed = False

    def submit(self, items: Sequence[BatchItem], how: How) -> Future[BatchOutput]:
        """Queue a batch; see :meth:`Model.submit`."""
        with self.changed:
            self._n_calls += 1
            call = _Call(self._n_calls, items, how, Future())
            self._waiting.append(call)
            self.hand_out()
        return call.promised

    def hand_out(self) -> None:
        """Hand batches out while there is room."""
        with self.changed:
            while self._waiting and self._error is None and not self._closed:
                # The least busy has the most room left; of equals, the first.
                taker = max(self._takers, key=lambda each: each.room)
                if taker.model is None or taker.room <= 0:
                    return
                call = self._waiting.popleft()
                if not call.promised.cancelled():
                    taker.calls.append(call)
                    self._send(taker, taker.model, call)
            if self._error is not None:
                self._settle_all(self._error)

    def take_back(self, taker: Taker) -> int:
        """Take its model and its batches from a taker; return how many these were. They are the next to go."""
        with self.changed:
            calls, taker.calls, taker.model = taker.calls, [], None
            self._waiting = deque(sorted((*calls, *self._waiting), key=lambda call: call.number))
            return len(calls)

    def fail(self, error: BaseException) -> None:
        """Let every batch end in this error, those to come too, since nobody is left to answer."""
        with self.changed:
            self._error = error
            self.hand_out()

    def close(self) -> None:
        """Cancel every batch, and hand none out any more."""
        with self.changed:
            self._closed = True
            pending = [*self._waiting, *(call for taker in self._takers for call in taker.calls)]
            self._waiting.clear()
        for call in pending:
            call.promised.cancel()

    def _send(self, taker: Taker, model: Model, call: _Call) -> None:
        begun = model.submit(call.items, how=call.how)
        begun.add_done_callback(lambda done: self._finish(taker, model, call, done))

    def _finish(self, taker: Taker, model: Model, call: _Call, done: Future[BatchOutput]) -> None:
        # A process that dies may cancel the batches it had not begun. Left cancelled, a batch would be
        # rerun pair by pair, with other last bits than the whole batch.
        died = WorkerError(f"{taker.name}: its process died")
        error = died if done.cancelled() else done.exception()
        if isinstance(error, WorkerError) and not self._closed:
            self._report(taker, model, error)
            return
        with self.changed:
            if taker.model is not model or call not in taker.calls:
                return  # it was taken back meanwhile
            taker.calls.remove(call)
            if error is not None and not isinstance(error, (NotExactError, OutOfMemoryError)):
                taker.failed = True
            self.hand_out()
        _settle(call, done.result() if error is None else error)

    def _settle_all(self, error: BaseException) -> None:
        while self._waiting:
            _settle(self._waiting.popleft(), error)


def _settle(call: _Call, result: BatchOutput | BaseException) -> None:
    with suppress(InvalidStateError):  # nobody waits for it any more
        if isinstance(result, BaseException):
            call.promised.set_exception(result)
        else:
            call.promised.set_result(result)
