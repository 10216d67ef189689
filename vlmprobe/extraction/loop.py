"""The loop over batches: infer them, certify some against plain forwards, gather them into shards.

Three things run concurrently: images of upcoming batches are decoded, the model infers one batch while the
next is prepared, and finished batches go into shards. Batches are collected in the order of the plan, so the
content of the shards does not depend on timing.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmprobe.extraction.image_loader import ImagesAhead, quick_turns, read_items
from vlmprobe.extraction.inference import BatchResult, BatchRunner, make_answers, make_items, pick_pairs
from vlmprobe.extraction.shard_builder import ShardBuilder
from vlmprobe.families import NotExactError, OutOfMemoryError, certified_batches, compare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence, Set
    from concurrent.futures import Future

    from vlmprobe.extraction.batches import Batch
    from vlmprobe.extraction.inference import PendingBatch
    from vlmprobe.families import BatchItem, BatchOutput, Model
    from vlmprobe.pairs import Dataset, SwapPair
    from vlmprobe.store.committer import Committer
    from vlmprobe.store.runs import Run
    from vlmprobe.store.shards import FailureRecord
    from vlmprobe.workspace import Workspace

__all__ = ["Extraction"]

#: Pairs of a certified batch that also get a plain forward, which costs as much as dozens of batched ones.
_CERTIFIED_PAIRS = 8
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
        dataset: Dataset,
        batches: Sequence[Batch],
        model: Model,
        committer: Committer,
        run: Run,
        first_shard: int,
        *,
        plain: bool,
    ) -> None:
        """Store the arguments. ``plain``: an earlier session failed a certificate; use plain forwards."""
        self._dataset, self._batches, self._model = dataset, batches, model
        self._runner = BatchRunner(model)
        self._committer, self._console, self._run = committer, workspace.console, run
        self._builder = ShardBuilder(workspace.settings, run.run_id, model.info.layers, first_shard)
        self._certified = _certified(batches)
        self._last_passed = -1
        self._exact_submitted = False
        self._plain = plain
        self.n_inferred = 0
        self.failed = 0
        self.first_failure: str | None = None
        self.notes: list[str] = []

    def run(self, done: Set[str]) -> None:
        """Infer every pair that is not done; only retries of failed pairs make a partial batch."""
        open_batches = [
            (batch, [pair for pair in batch.pairs if pair.pair_id not in done]) for batch in self._batches
        ]
        total = sum(len(batch.pairs) for batch in self._batches)
        left = [(batch, pairs) for batch, pairs in open_batches if pairs]
        n_left = sum(len(pairs) for _, pairs in left)
        in_flight: deque[_InFlight] = deque()
        with (
            self._console.track(self._run.name, total, total - n_left) as advance,
            ImagesAhead(self._dataset, gpus=self._gpus) as images,
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
            some = _spread(flight.items, _CERTIFIED_PAIRS)
            flight.reference = self._runner.submit(some, plain=True)
            if self._model.info.dtype != "float32" and not self._exact_submitted:
                self._exact_submitted = True
                flight.exact = self._model.submit(some, how="exact")

    def _collect(self, in_flight: deque[_InFlight], advance: Callable[[int], None]) -> None:
        """Collect the oldest submitted batch and keep its output."""
        flight = in_flight[0]
        result = None if flight.pending is None else self._runner.collect(flight.pending)
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
        plain = self._runner.collect(flight.reference)
        if result.output is None or result.failures:
            return result, None
        if plain.output is None or plain.failures:
            return result, None
        info = self._model.info
        exact = None if flight.exact is None else _exact(flight.exact)
        fast = pick_pairs(result.output, plain.output.pair_ids)
        comparison = compare(fast, plain.output, info.layers, exact)
        if not comparison.passed and flight.exact is None and info.dtype != "float32":
            # Two roundings of a tiny delta can differ a lot although neither is wrong, so float32 decides.
            exact = _exact(self._model.submit(_spread(flight.items, _CERTIFIED_PAIRS), how="exact"))
            comparison = compare(fast, plain.output, info.layers, exact)
        row = {
            "batch": flight.batch.number,
            "reason": self._certified[flight.batch.number],
            "n_questions": 2 * len(plain.output.pair_ids),
            "dtype": info.dtype,
            "max_rel_dh": _finite(comparison.max_rel_dh),
            "median_delta_cosine": _finite(comparison.median_delta_cos),
            "delta_error": _finite(comparison.delta_error),
            "plain_delta_error": _finite(comparison.plain_delta_error),
            "layers_counted": len(comparison.layers_counted),
            "answers_compared": comparison.answers_compared,
            "answers_equal": comparison.answers_equal,
            "passed": comparison.passed,
            "action": "kept" if comparison.passed else "redone plainly",
        }
        if comparison.passed:
            self._last_passed = flight.batch.number
            return result, row
        self._rerun(flight.batch)
        return self._runner.collect(self._runner.submit(flight.items, plain=True)), row

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
            items, _ = read_items(self._dataset, batch.pairs, gpus=self._gpus)
            if not items:
                continue
            again = self._runner.collect(self._runner.submit(items, plain=True))
            if again.output is not None:
                self._store(again.output, batch.pairs, replaces=True)
            self._report(again.failures)
        self.flush()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _exact(future: Future[BatchOutput]) -> BatchOutput | None:
    """Return the float32 output, or None if it failed; it is only informative and never fails a run."""
    try:
        return future.result()
    except (NotExactError, OutOfMemoryError, RuntimeError):
        return None


def _spread(items: Sequence[BatchItem], most: int) -> list[BatchItem]:
    """Return at most ``most`` evenly spread items, including the first and the last."""
    n = min(len(items), most)
    return [items[round(place * (len(items) - 1) / max(n - 1, 1))] for place in range(n)]


def _certified(batches: Sequence[Batch]) -> dict[int, str]:
    """Choose the batches to certify, separately among the dataset's own batches and those for quads."""
    chosen: dict[int, str] = {}
    for for_quads in (False, True):
        group = [batch for batch in batches if batch.for_quads == for_quads]
        reasons = certified_batches([batch.pixels for batch in group])
        chosen |= {group[place].number: reason for place, reason in reasons.items()}
    return chosen
