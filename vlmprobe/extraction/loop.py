"""The loop over batches: infer them, certify some against plain forwards, gather them into shards.

Three things run concurrently: images of upcoming batches are decoded, the model infers one batch while the
next is prepared, and finished batches go into shards. Batches are collected in the order of the plan, so the
content of the shards does not depend on timing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmprobe.extraction.certification import (
    certificate_row,
    choose_batches,
    compare_same,
    exact_output,
    spread,
)
from vlmprobe.extraction.image_loader import ImagesAhead, quick_turns, read_items
from vlmprobe.extraction.inference import BatchResult, BatchRunner, join_results, make_answers, make_items
from vlmprobe.extraction.not_finite import check_first_batch, not_finite, without_not_finite
from vlmprobe.extraction.shard_builder import ShardBuilder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence, Set
    from concurrent.futures import Future

    from vlmprobe.extraction.batches import Batch
    from vlmprobe.extraction.image_loader import Pictures
    from vlmprobe.extraction.inference import PendingBatch
    from vlmprobe.families import BatchItem, BatchOutput, Model
    from vlmprobe.pairs import SwapPair
    from vlmprobe.store.committer import Committer
    from vlmprobe.store.runs import Run
    from vlmprobe.store.shards import FailureRecord
    from vlmprobe.workspace import Workspace

__all__ = ["Extraction"]

#: Batches whose images are decoded ahead of the model.
_DECODED_AHEAD = 2


@dataclass
class _InFlight:
    """A batch that was submitted to the model and not collected yet."""

    batch: Batch
    pairs: Sequence[SwapPair]
    items: Sequence[BatchItem]
    failures: Sequence[FailureRecord]
    pending: PendingBatch | None
    """None if none of its pairs has an image."""
    reference: PendingBatch | None
    """Plain forwards of some of its pairs, if the batch is to be certified."""
    exact: Future[BatchOutput] | None = None
    """The same in float32, once per half-precision run."""

    def cancel(self) -> None:
        for pending in (self.pending, self.reference, self.exact):
            if pending is not None:
                pending.cancel()


class Extraction:
    """One pass over the batches of a run; after an interruption, ``flush`` writes what is finished."""

    def __init__(
        self,
        workspace: Workspace,
        pictures: Pictures,
        batches: Sequence[Batch],
        model: Model,
        committer: Committer,
        run: Run,
        first_shard: int,
        *,
        plain: bool,
    ) -> None:
        """Store the arguments. ``plain``: an earlier session failed a certificate; use plain forwards."""
        self._pictures, self._batches, self._model = pictures, batches, model
        self._runner = BatchRunner(model)
        self._committer, self._console, self._run = committer, workspace.console, run
        self._builder = ShardBuilder(workspace.settings, run.run_id, model.info.layers, first_shard)
        self._certified = choose_batches(batches)
        self._last_passed = -1
        self._exact_submitted = False
        self._plain = plain
        self._begun = False
        self.n_inferred = 0
        self.failed = 0
        self.first_failure: str | None = None
        self.notes: list[str] = []

    def run(self, done: Set[str]) -> None:
        """Infer every pair that is not done; only retries of failed pairs make a partial batch.

        Raises:
            ModelError: no hidden state of the run's first batch is finite.
        """
        self._begun = bool(done)
        open_batches = [
            (batch, [pair for pair in batch.pairs if pair.pair_id not in done]) for batch in self._batches
        ]
        total = sum(len(batch.pairs) for batch in self._batches)
        left = [(batch, pairs) for batch, pairs in open_batches if pairs]
        n_left = sum(len(pairs) for _, pairs in left)
        in_flight: deque[_InFlight] = deque()
        with (
            self._console.track(self._run.name, total, total - n_left) as advance,
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
        """Write the gathered batches as a shard."""
        shard = self._builder.write()
        if shard is not None:
            self._committer.submit(shard)

    @property
    def _gpus(self) -> int:
        """The number of GPUs that need images; 0 on a CPU."""
        if not self._model.info.device.startswith("cuda"):
            return 0
        return len(self._model.info.manifest.get("devices", ())) or 1

    def _submit_all(
        self, images: ImagesAhead, left: Sequence[tuple[Batch, Sequence[SwapPair]]]
    ) -> Iterator[_InFlight]:
        """Decode some batches ahead and submit one after the other to the model."""
        ahead: deque[tuple[Batch, Sequence[SwapPair], Any]] = deque()
        for batch, pairs in left:
            ahead.append((batch, pairs, images.submit(pairs)))
            if len(ahead) > _DECODED_AHEAD:
                yield self._submit(images, *ahead.popleft())
        while ahead:
            yield self._submit(images, *ahead.popleft())

    def _submit(
        self, images: ImagesAhead, batch: Batch, pairs: Sequence[SwapPair], pending: Any
    ) -> _InFlight:
        items, failures = make_items(pairs, images.collect(pending))
        flight = _InFlight(batch, pairs, items, failures, None, None)
        self._send(flight)
        return flight

    def _send(self, flight: _InFlight) -> None:
        if not flight.items:
            return
        flight.pending = self._runner.submit(flight.items, plain=self._plain)
        flight.reference = None
        if flight.batch.number in self._certified and not self._plain:
            some = spread(flight.items)
            flight.reference = self._runner.submit(some, plain=True)
            if self._model.info.dtype != "float32" and not self._exact_submitted:
                self._exact_submitted = True
                flight.exact = self._model.submit(some, how="exact")

    def _collect(self, in_flight: deque[_InFlight], advance: Callable[[int], None]) -> None:
        """Collect the oldest submitted batch and keep its output."""
        flight = in_flight[0]
        result = None if flight.pending is None else self._collect_finite(flight.pending, flight.items)
        if result is not None and not self._begun:
            check_first_batch(self._run.name, result, self._model.info.dtype)
            self._begun = True
        certificate: dict[str, Any] | None = None
        if result is not None and flight.reference is not None:
            result, certificate = self._certify(flight, result)
        in_flight.popleft()
        failures = flight.failures if result is None else [*flight.failures, *result.failures]
        self._report(failures)
        if result is not None and result.output is not None:
            self._store(result.output, flight.pairs, certificate)
        if certificate is not None and not certificate["passed"]:
            # Later batches were submitted on the fast path.
            for later in in_flight:
                later.cancel()
                self._send(later)
        advance(len(flight.pairs))

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

    def _report(self, failures: Sequence[FailureRecord]) -> None:
        for failure in failures:
            self.failed += 1
            self.first_failure = self.first_failure or f"{failure.error}: {failure.message}"
            self._console.warn(f"pair {failure.pair_id} failed: {failure.error}: {failure.message}")
        self._committer.submit_failures(failures)

    def _store(
        self,
        output: BatchOutput,
        pairs: Sequence[SwapPair],
        certificate: dict[str, Any] | None = None,
        *,
        replaces: bool = False,
    ) -> None:
        self._builder.add(output, make_answers(output, pairs), certificate=certificate, replaces=replaces)
        if not replaces:
            self.n_inferred += len(output.pair_ids)
        if self._builder.is_full:
            self.flush()

    def _certify(self, flight: _InFlight, result: BatchResult) -> tuple[BatchResult, dict[str, Any] | None]:
        """Compare a batch with plain forwards; on failure, redo all batches since the last that passed."""
        assert flight.reference is not None  # noqa: S101  (the caller looked)
        plain = self._collect_finite(flight.reference, flight.items)
        if result.output is None or plain.output is None:
            return result, None
        info = self._model.info
        found = compare_same(result.output, plain.output, info.layers, exact_output(flight.exact))
        if found is not None and not found[0].passed and flight.exact is None and info.dtype != "float32":
            # Two roundings of a tiny delta can differ a lot although neither is wrong, so float32 decides.
            exact = exact_output(self._model.submit(spread(flight.items), how="exact"))
            found = compare_same(result.output, plain.output, info.layers, exact)
        if found is None:
            return result, None
        comparison, n_pairs = found
        number = flight.batch.number
        row = certificate_row(
            comparison, batch=number, reason=self._certified[number], n_pairs=n_pairs, dtype=info.dtype
        )
        if comparison.passed:
            self._last_passed = flight.batch.number
            return result, row
        self._rerun(flight.batch)
        again = self._runner.submit(flight.items, plain=True)
        return self._collect_finite(again, flight.items), row

    def _rerun(self, failed: Batch) -> None:
        """Rerun the batches since the last passed certificate with plain forwards; keep using those."""
        self._plain = True
        # Boxes added later must not change existing numbers, so a failed quad batch redoes quad batches only.
        suspects = [
            batch
            for batch in self._batches
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
        for batch in suspects:
            items, _ = read_items(self._pictures, batch.pairs, gpus=self._gpus)
            if not items:
                continue
            again = self._collect_finite(self._runner.submit(items, plain=True), items)
            if again.output is not None:
                self._store(again.output, batch.pairs, replaces=True)
            self._report(again.failures)
        self.flush()
