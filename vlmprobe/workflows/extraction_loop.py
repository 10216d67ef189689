"""The loop over batches: ask, check against plain forwards now and then, gather into shards."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from vlmprobe.families import certified_batches, compare
from vlmprobe.workflows.asking import Asked, ask_batch, make_answers, make_items
from vlmprobe.workflows.shard_builder import ShardBuilder

if TYPE_CHECKING:
    from collections.abc import Sequence, Set
    from pathlib import Path

    from vlmprobe.families import BatchItem, BatchOutput, Model
    from vlmprobe.pairs import Dataset, SwapPair
    from vlmprobe.settings import Settings
    from vlmprobe.store.committer import Committer
    from vlmprobe.store.runs import Run
    from vlmprobe.store.shards import FailureRecord
    from vlmprobe.workflows.batches import Batch
    from vlmprobe.workflows.console import Console

__all__ = ["Extraction"]


class Extraction:
    """One pass over the batches of a run; ``flush`` keeps what an interruption leaves."""

    def __init__(
        self,
        settings: Settings,
        dataset: Dataset,
        batches: Sequence[Batch],
        model: Model,
        committer: Committer,
        console: Console,
        run: Run,
        spool: Path,
        first_shard: int,
        *,
        plain: bool,
    ) -> None:
        """Prepare; nothing is asked yet. ``plain``: an earlier start found the fast path wanting."""
        self._dataset, self._batches, self._model = dataset, batches, model
        self._committer, self._console, self._run = committer, console, run
        self._builder = ShardBuilder(settings, spool, run.run_id, model.info.layers, first_shard)
        self._certified = _certified(batches)
        self._last_passed = -1
        self._plain = plain
        self.asked = 0
        self.failed = 0
        self.first_failure: str | None = None
        self.notes: list[str] = []

    def go(self, done: Set[str]) -> None:
        """Ask every pair that is not done; whole batches, but for pairs that failed before."""
        open_batches = [
            (batch, [pair for pair in batch.pairs if pair.pair_id not in done]) for batch in self._batches
        ]
        total = sum(len(batch.pairs) for batch in self._batches)
        with self._console.track(
            self._run.name, total, total - sum(len(pairs) for _, pairs in open_batches)
        ) as advance:
            for batch, pairs in open_batches:
                if pairs:
                    self._do(batch, pairs)
                    advance(len(pairs))
        self.flush()

    def flush(self) -> None:
        """Write the batches that are gathered."""
        shard = self._builder.write()
        if shard is not None:
            self._committer.submit(shard)

    def _do(self, batch: Batch, pairs: Sequence[SwapPair]) -> None:
        items, failures = make_items(self._dataset, pairs)
        asked = (
            ask_batch(self._model.run_plain if self._plain else self._model.run_batch, items)
            if items
            else None
        )
        certificate: dict[str, Any] | None = None
        if asked is not None and batch.number in self._certified and not self._plain:
            asked, certificate = self._certify(batch, items, asked)
        if asked is not None:
            failures = [*failures, *asked.failures]
        self._report(failures)
        if asked is not None and asked.output is not None:
            self._keep(asked.output, pairs, certificate)

    def _report(self, failures: Sequence[FailureRecord]) -> None:
        for failure in failures:
            self.failed += 1
            self.first_failure = self.first_failure or f"{failure.error}: {failure.message}"
            self._console.warn(f"pair {failure.pair_id} failed: {failure.error}: {failure.message}")
        self._committer.submit_failures(failures)

    def _keep(
        self,
        output: BatchOutput,
        pairs: Sequence[SwapPair],
        certificate: dict[str, Any] | None = None,
        *,
        replaces: bool = False,
    ) -> None:
        self._builder.add(output, make_answers(output, pairs), certificate=certificate, replaces=replaces)
        if not replaces:
            self.asked += len(output.pair_ids)
        if self._builder.is_full:
            self.flush()

    def _certify(
        self, batch: Batch, items: Sequence[BatchItem], asked: Asked
    ) -> tuple[Asked, dict[str, Any] | None]:
        """Compare a batch with plain forwards; if it fails, everything since the last that passed is redone."""
        if asked.output is None or asked.failures:
            return asked, None
        plain = ask_batch(self._model.run_plain, items)
        if plain.output is None or plain.failures:
            return asked, None
        info = self._model.info
        comparison = compare(asked.output, plain.output, info.layers)
        cosine = comparison.median_delta_cos
        row = {
            "batch": batch.number,
            "reason": self._certified[batch.number],
            "n_questions": 2 * len(items),
            "dtype": info.dtype,
            "max_rel_dh": comparison.max_rel_dh if math.isfinite(comparison.max_rel_dh) else None,
            "median_delta_cosine": cosine if math.isfinite(cosine) else None,
            "layers_counted": len(comparison.layers_counted),
            "answers_compared": comparison.answers_compared,
            "answers_equal": comparison.answers_equal,
            "passed": comparison.passed,
            "action": "kept" if comparison.passed else "redone plainly",
        }
        if comparison.passed:
            self._last_passed = batch.number
            return asked, row
        self._redo(batch)
        return plain, row

    def _redo(self, failed: Batch) -> None:
        """Ask the batches since the last certificate again, the plain way, and go on that way."""
        self._plain = True
        # Boxes given later must change no number that was there: what a quad's batch shows is said of quads alone.
        suspects = [
            batch
            for batch in self._batches
            if self._last_passed < batch.number < failed.number and batch.for_quads == failed.for_quads
        ]
        note = (
            f"the fast path disagreed with plain forwards at batch {failed.number}: {len(suspects) + 1} batches "
            "redone and the rest asked the plain, slower way (table certificates has the numbers)"
        )
        self.notes.append(note)
        self._console.warn(note)
        # A pair may not be replaced by a shard that also holds its first answer.
        self.flush()
        for batch in suspects:
            items, _ = make_items(self._dataset, batch.pairs)
            again = ask_batch(self._model.run_plain, items) if items else None
            if again is None:
                continue
            if again.output is not None:
                self._keep(again.output, batch.pairs, replaces=True)
            self._report(again.failures)
        self.flush()


def _certified(batches: Sequence[Batch]) -> dict[int, str]:
    """Choose the batches to certify among the dataset's own and among the quads', as if each were all."""
    chosen: dict[int, str] = {}
    for for_quads in (False, True):
        group = [batch for batch in batches if batch.for_quads == for_quads]
        reasons = certified_batches([batch.pixels for batch in group])
        chosen |= {group[place].number: reason for place, reason in reasons.items()}
    return chosen
