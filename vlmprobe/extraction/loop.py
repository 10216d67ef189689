"""The loop over batches: infer them, certify some against plain forwards, gather them into shards.

Runs that ask about the same pictures share the batches: a batch is then the questions of all of them about its pairs,
so that each image, and the words that the questions begin with, go through the model once.

Three things run concurrently: images of upcoming batches are decoded, the model infers one batch while the
next is prepared, and finished batches go into shards. Batches are collected in the order of the plan, so the
content of the shards does not depend on timing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmprobe.extraction.asked import keyed, open_questions, result_of
from vlmprobe.extraction.certification import (
    certificate_row,
    choose_batches,
    choose_pairs,
    compare_runs,
    exact_output,
)
from vlmprobe.extraction.image_loader import ImagesAhead, quick_turns, read_items
from vlmprobe.extraction.inference import BatchResult, BatchRunner, join_results, make_items
from vlmprobe.extraction.not_finite import not_finite, without_not_finite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from vlmprobe.extraction.asked import AskedRun, Questions
    from vlmprobe.extraction.batches import Batch
    from vlmprobe.extraction.image_loader import Pictures
    from vlmprobe.extraction.inference import PendingBatch
    from vlmprobe.families import BatchItem, BatchOutput, Model
    from vlmprobe.store.shards import FailureRecord
    from vlmprobe.timeline import Timeline
    from vlmprobe.workspace import Console

__all__ = ["Extraction"]

#: Batches whose images are decoded ahead of the model.
_DECODED_AHEAD = 2
#: About so many items of several runs at once are fastest on a CPU, whose caches do not hold more: with 80 or 128 the
#: model takes a tenth longer.
_CPU_ITEMS = 32


@dataclass
class _InFlight:
    """A batch that was submitted to the model and not collected yet."""

    batch: Batch
    questions: Questions
    items: Sequence[BatchItem]
    failures: Sequence[FailureRecord]
    pending: PendingBatch | None
    """None if none of its pairs has an image."""
    reference: PendingBatch | None
    """Plain forwards of some of its pairs, if the batch is to be certified."""
    exact: Future[BatchOutput] | None = None
    """The same in float32, once per half-precision run."""

    @property
    def n_asked(self) -> int:
        """Pairs of all runs."""
        return sum(map(len, self.questions))

    def cancel(self) -> None:
        for pending in (self.pending, self.reference, self.exact):
            if pending is not None:
                pending.cancel()


class Extraction:
    """One pass over the batches of one run or several; after an interruption, ``flush`` writes what is finished."""

    def __init__(
        self,
        console: Console,
        pictures: Pictures,
        runs: Sequence[AskedRun],
        model: Model,
        timeline: Timeline,
        *,
        plain: bool,
    ) -> None:
        """Store the arguments.

        Args:
            console: shows progress and warnings.
            pictures: what the model is shown, the same for all runs.
            runs: at least one; their plans have the same batches.
            model: the model.
            timeline: gets ``certified``, the waits for plain forwards.
            plain: an earlier session failed a certificate; use plain forwards.
        """
        self._pictures, self._runs, self._model, self._console = pictures, runs, model, console
        self._timeline = timeline
        self._batches = runs[0].batches
        self._runner = BatchRunner(model, self._part)
        self._certified = choose_batches(self._batches)
        self._last_passed = -1
        self._exact_submitted = False
        self._plain = plain
        self.notes: list[str] = []

    def run(self) -> None:
        """Infer every pair that is not done; only retries of failed pairs make a partial batch.

        Raises:
            ModelError: no hidden state of a run's first batch is finite.
        """
        left = [
            (batch, questions)
            for place, batch in enumerate(self._batches)
            if any(questions := open_questions(self._runs, place))
        ]
        total = len(self._runs) * sum(len(batch.pairs) for batch in self._batches)
        n_left = sum(len(pairs) for _, questions in left for pairs in questions)
        in_flight: deque[_InFlight] = deque()
        with (
            self._console.track(self._name, total, total - n_left) as advance,
            ImagesAhead(self._pictures, gpus=self._gpus) as images,
            quick_turns(),
        ):
            try:
                for flight in self._submit_all(images, left):
                    in_flight.append(flight)
                    if len(in_flight) >= self._model.depth:
                        self._collect(in_flight, advance)
                while in_flight:
                    self._collect(in_flight, advance)
            finally:
                for flight in in_flight:
                    flight.cancel()
        self.flush()

    def flush(self) -> None:
        """Write the gathered batches of each run as a shard."""
        for run in self._runs:
            run.flush()

    @property
    def _name(self) -> str:
        name = self._runs[0].run.name
        return name if len(self._runs) == 1 else f"{name} and {len(self._runs) - 1} more"

    @property
    def _part(self) -> int | None:
        """How many items of several runs go through the model at once: on a CPU a few pictures' whole questions."""
        n_runs = len(self._runs)
        return None if n_runs == 1 or self._gpus else n_runs * max(_CPU_ITEMS // n_runs, 1)

    @property
    def _gpus(self) -> int:
        """The number of GPUs that need images; 0 on a CPU."""
        if not self._model.info.device.startswith("cuda"):
            return 0
        return len(self._model.info.manifest.get("devices", ())) or 1

    def _submit_all(
        self, images: ImagesAhead, left: Sequence[tuple[Batch, Questions]]
    ) -> Iterator[_InFlight]:
        """Decode some batches ahead and submit one after the other to the model."""
        ahead: deque[tuple[Batch, Questions, Any]] = deque()
        for batch, questions in left:
            ahead.append((batch, questions, images.submit([pair for pairs in questions for pair in pairs])))
            if len(ahead) > _DECODED_AHEAD:
                yield self._submit(images, *ahead.popleft())
        while ahead:
            yield self._submit(images, *ahead.popleft())

    def _submit(self, images: ImagesAhead, batch: Batch, questions: Questions, pending: Any) -> _InFlight:
        items, failures = make_items(keyed(questions), images.collect(pending))
        flight = _InFlight(batch, questions, items, failures, None, None)
        self._send(flight)
        return flight

    def _send(self, flight: _InFlight) -> None:
        if not flight.items:
            return
        flight.pending = self._runner.submit(flight.items, plain=self._plain)
        flight.reference = None
        if flight.batch.number in self._certified and not self._plain:
            some = choose_pairs(flight.items, flight.questions)
            flight.reference = self._runner.submit(some, plain=True)
            if self._model.info.dtype != "float32" and not self._exact_submitted:
                self._exact_submitted = True
                flight.exact = self._model.submit(some, how="exact")

    def _collect(self, in_flight: deque[_InFlight], advance: Callable[[int], None]) -> None:
        """Collect the oldest submitted batch and keep its output."""
        flight = in_flight[0]
        result = None if flight.pending is None else self._collect_finite(flight.pending, flight.items)
        if result is not None:
            for place, run in enumerate(self._runs):
                run.check_first(result_of(result, place, flight.questions), self._model.info.dtype)
        certificates: dict[int, dict[str, Any]] = {}
        if result is not None and flight.reference is not None:
            with self._timeline.during("certified", self._runs[0].run.scale_name):
                result, certificates = self._certify(flight, result)
        in_flight.popleft()
        whole = BatchResult(None, ()) if result is None else result
        self._keep(
            BatchResult(whole.output, (*flight.failures, *whole.failures)), flight.questions, certificates
        )
        if not all(row["passed"] for row in certificates.values()):
            # Later batches were submitted on the fast path.
            for later in in_flight:
                later.cancel()
                self._send(later)
        advance(flight.n_asked)

    def _collect_finite(self, pending: PendingBatch, items: Sequence[BatchItem]) -> BatchResult:
        """Wait for a batch; pairs whose states are not finite get one plain forward, and fail if that is no better."""
        layers = self._model.info.layers
        result = without_not_finite(self._runner.collect(pending), layers)
        lost = {failure.pair_id for failure in not_finite(result)}
        if not lost or pending.plain:
            return result
        again = self._runner.submit([item for item in items if item.pair_id in lost], plain=True)
        others = tuple(failure for failure in result.failures if failure.pair_id not in lost)
        rest = without_not_finite(self._runner.collect(again), layers)
        return join_results([BatchResult(result.output, others), rest])

    def _keep(
        self,
        result: BatchResult,
        questions: Questions,
        certificates: Mapping[int, dict[str, Any]],
        *,
        replaces: bool = False,
    ) -> None:
        """Hand each run its part of a batch."""
        for place, run in enumerate(self._runs):
            own = result_of(result, place, questions)
            run.report(own.failures)
            if own.output is not None:
                run.store(own.output, questions[place], certificates.get(place), replaces=replaces)

    def _certify(
        self, flight: _InFlight, result: BatchResult
    ) -> tuple[BatchResult, dict[int, dict[str, Any]]]:
        """Compare a batch with plain forwards; on failure, redo all batches since the last that passed.

        Returns:
            The result to keep, and by the place of each run its certificate.
        """
        assert flight.reference is not None  # noqa: S101  (the caller looked)
        plain = self._collect_finite(flight.reference, flight.items)
        if result.output is None or plain.output is None:
            return result, {}
        info = self._model.info
        exact = exact_output(flight.exact)
        found = compare_runs(result.output, plain.output, exact, flight.questions, info.layers)
        if found is not None and flight.exact is None and info.dtype != "float32" and found[0].needs_float32:
            some = choose_pairs(flight.items, flight.questions)
            exact = exact_output(self._model.submit(some, how="exact"))
            found = compare_runs(result.output, plain.output, exact, flight.questions, info.layers)
        if found is None:
            return result, {}
        whole, own = found
        number = flight.batch.number
        rows = {
            place: certificate_row(
                comparison, batch=number, reason=self._certified[number], n_pairs=n_pairs, dtype=info.dtype
            )
            for place, (comparison, n_pairs) in own.items()
        }
        if whole.passed:
            self._last_passed = number
            return result, rows
        self._rerun(flight.batch)
        again = self._runner.submit(flight.items, plain=True)
        return self._collect_finite(again, flight.items), rows

    def _rerun(self, failed: Batch) -> None:
        """Rerun the batches since the last passed certificate with plain forwards; keep using those."""
        self._plain = True
        # Boxes added later must not change existing numbers, so a failed quad batch redoes quad batches only.
        suspects = [
            place
            for place, batch in enumerate(self._batches)
            if self._last_passed < batch.number < failed.number and batch.for_quads == failed.for_quads
        ]
        note = (
            f"the fast path disagreed with plain forward passes at batch {failed.number}: "
            f"{len(suspects) + 1} batches were redone, and the rest use slower plain forward passes "
            "(see table certificates)"
        )
        self.notes.append(note)
        self._console.warn(note)
        # A pair may not be replaced by a shard that also holds its first answer.
        self.flush()
        for place in suspects:
            questions = tuple(run.batches[place].pairs for run in self._runs)
            items, _ = read_items(self._pictures, keyed(questions), gpus=self._gpus)
            if not items:
                continue
            again = self._collect_finite(self._runner.submit(items, plain=True), items)
            self._keep(again, questions, {}, replaces=True)
        self.flush()
