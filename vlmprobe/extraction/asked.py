"""What becomes of the pairs of one run: shards, failures and counts, while several runs share the model's batches."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vlmprobe.extraction.inference import BatchResult, make_answers, pick_pairs
from vlmprobe.extraction.not_finite import check_first_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence, Set

    from vlmprobe.extraction.batches import Batch
    from vlmprobe.extraction.shard_builder import ShardBuilder
    from vlmprobe.families import BatchItem, BatchOutput
    from vlmprobe.pairs import SwapPair
    from vlmprobe.store.committer import Committer
    from vlmprobe.store.runs import Run
    from vlmprobe.store.shards import FailureRecord

__all__ = ["AskedRun", "Questions", "items_of", "keyed", "open_questions", "output_of", "result_of"]

#: The pairs of a batch that each run asks about, in the order of the runs.
Questions = tuple[tuple["SwapPair", ...], ...]


class AskedRun:
    """One of the runs whose questions go through the model together."""

    def __init__(
        self,
        run: Run,
        batches: Sequence[Batch],
        done: Set[str],
        builder: ShardBuilder,
        committer: Committer,
        warn: Callable[[str], None],
    ) -> None:
        """Store the arguments.

        Args:
            run: the run.
            batches: its plan; that of the other runs has the same numbers and pairs.
            done: ids of the pairs that need nothing anymore.
            builder: gathers its shards.
            committer: writes its rows.
            warn: called with a line for each pair that failed.
        """
        self.run, self.batches, self.done = run, batches, done
        self._builder, self._committer, self._warn = builder, committer, warn
        self._begun = bool(done)
        self.n_inferred = 0
        self.failed = 0
        self.first_failure: str | None = None

    def check_first(self, result: BatchResult, dtype: str) -> None:
        """Check the run's first batch; see :func:`check_first_batch`."""
        if not self._begun and (result.output is not None or result.failures):
            check_first_batch(self.run.name, result, dtype)
            self._begun = True

    def report(self, failures: Sequence[FailureRecord]) -> None:
        """Count failed pairs, warn about each, and store them."""
        for failure in failures:
            self.failed += 1
            self.first_failure = self.first_failure or f"{failure.error}: {failure.message}"
            self._warn(f"pair {failure.pair_id} failed: {failure.error}: {failure.message}")
        self._committer.submit_failures(failures)

    def store(
        self,
        output: BatchOutput,
        pairs: Sequence[SwapPair],
        certificate: dict[str, Any] | None = None,
        *,
        replaces: bool = False,
    ) -> None:
        """Gather the output of a batch's pairs; write a shard when it is time."""
        self._builder.add(output, make_answers(output, pairs), certificate=certificate, replaces=replaces)
        if not replaces:
            self.n_inferred += len(output.pair_ids)
        if self._builder.is_full:
            self.flush()

    def flush(self) -> None:
        """Write the gathered batches as a shard."""
        shard = self._builder.write()
        if shard is not None:
            self._committer.submit(shard)

    def abandon(self) -> None:
        """Keep what is finished after an error, and suppress further errors so that the first one is shown."""
        # Separately: shards on disk need their rows even if the next shard no longer fits there.
        for step in (self.flush, self._committer.close):
            with suppress(Exception):  # it is in the spool, and the next session adopts it
                step()


def open_questions(runs: Sequence[AskedRun], place: int) -> Questions:
    """Return which pairs of a batch each run lacks."""
    return tuple(
        tuple(pair for pair in run.batches[place].pairs if pair.pair_id not in run.done) for run in runs
    )


def keyed(questions: Questions) -> list[SwapPair]:
    """Return the questions of all runs about each pair next to each other, under ids that differ between runs.

    So parts of a batch, if it does not fit, hold whole pairs and share their images.
    """
    order: dict[str, list[SwapPair]] = {}
    for place, pairs in enumerate(questions):
        prefix = _prefix(place, questions)
        for pair in pairs:
            own = replace(pair, pair_id=f"{prefix}{pair.pair_id}") if prefix else pair
            order.setdefault(pair.pair_id, []).append(own)
    return [pair for group in order.values() for pair in group]


def items_of(items: Sequence[BatchItem], place: int, questions: Questions) -> list[BatchItem]:
    """Return the items of one run."""
    prefix = _prefix(place, questions)
    return [item for item in items if item.pair_id.startswith(prefix)]


def pair_id_of(item: BatchItem, place: int, questions: Questions) -> str:
    """Return the id that the pair of a run's item has in the database."""
    return item.pair_id.removeprefix(_prefix(place, questions))


def output_of(output: BatchOutput | None, place: int, questions: Questions) -> BatchOutput | None:
    """Return the part of one run under its own ids; None if none of its pairs has an output."""
    if output is None or len(questions) == 1:
        return output
    prefix = _prefix(place, questions)
    known = set(output.pair_ids)
    own = [pair.pair_id for pair in questions[place] if f"{prefix}{pair.pair_id}" in known]
    if not own:
        return None
    return replace(pick_pairs(output, [f"{prefix}{pair_id}" for pair_id in own]), pair_ids=tuple(own))


def result_of(result: BatchResult, place: int, questions: Questions) -> BatchResult:
    """Return the part of one run under its own ids, failures included."""
    if len(questions) == 1:
        return result
    prefix = _prefix(place, questions)
    failures = tuple(
        replace(failure, pair_id=failure.pair_id.removeprefix(prefix))
        for failure in result.failures
        if failure.pair_id.startswith(prefix)
    )
    return BatchResult(output_of(result.output, place, questions), failures)


def _prefix(place: int, questions: Questions) -> str:
    """Return what tells a run's pairs from those of the others within a batch; a single run's keep their ids."""
    return f"{place}:" if len(questions) > 1 else ""
