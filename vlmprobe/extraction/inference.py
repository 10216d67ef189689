"""Infers one batch: whole if it fits in memory, in halves if it does not, pair by pair if something fails."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.errors import ImageError, InputError, WorkerError, first_line
from vlmprobe.families import BatchItem, BatchOutput, OutOfMemoryError
from vlmprobe.pairs import CHECKERS, Side, check_answer
from vlmprobe.store.shards import Answer, FailureRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future

    from PIL.Image import Image

    from vlmprobe.families import Model
    from vlmprobe.families.base import How
    from vlmprobe.pairs import SwapPair

__all__ = [
    "BatchResult",
    "BatchRunner",
    "PendingBatch",
    "join_outputs",
    "join_results",
    "make_answers",
    "make_items",
    "pick_pairs",
]

#: Batches in a row that must fit before a larger one is tried again.
_FIT_BEFORE_GROWING = 16


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The result of a batch: an output for the pairs that succeeded, a record for each that failed."""

    output: BatchOutput | None
    failures: tuple[FailureRecord, ...]


@dataclass(frozen=True, slots=True)
class PendingBatch:
    """A batch that was submitted to the model, in one or more parts."""

    parts: tuple[tuple[Sequence[BatchItem], Future[BatchOutput]], ...]
    plain: bool

    def cancel(self) -> None:
        """Cancel the parts that have not started."""
        for _, future in self.parts:
            future.cancel()


def make_items(
    pairs: Sequence[SwapPair], images: Mapping[str, Image | ImageError]
) -> tuple[list[BatchItem], list[FailureRecord]]:
    """Build a model input from each pair; a damaged image fails only its own pairs.

    Args:
        pairs: what to ask.
        images: by image_sha256 the decoded image, or why there is none.
    """
    items: list[BatchItem] = []
    failures: list[FailureRecord] = []
    for pair in pairs:
        image = images[pair.image_sha256]
        if isinstance(image, ImageError):
            failures.append(_failure(pair.pair_id, image))
            continue
        orig, swap = pair.questions
        items.append(
            BatchItem(
                pair_id=pair.pair_id,
                image=image,
                questions=(orig.text, swap.text),
                answers=((orig.expected, orig.opposite), (swap.expected, swap.opposite)),
            )
        )
    return items, failures


class BatchRunner:
    """Infers batches: whole if they fit in memory, in halves if they do not, pair by pair if something fails.

    After a batch did not fit, the next ones start smaller; after several fits, a larger one is tried again.
    """

    def __init__(self, model: Model, part: int | None = None) -> None:
        """Store the arguments; ``part``: submit at most so many items at once, even if more would fit."""
        self._model, self._part = model, part
        self._most: int | None = None
        self._fitted = 0

    def submit(self, items: Sequence[BatchItem], *, plain: bool = False) -> PendingBatch:
        """Submit a batch to the model, in parts no larger than the last size that fit."""
        size = min(self._most or len(items), self._part or len(items), len(items))
        parts = [items[start : start + size] for start in range(0, len(items), size)]
        return PendingBatch(tuple((part, self._model.submit(part, how=_how(plain))) for part in parts), plain)

    def collect(self, pending: PendingBatch) -> BatchResult:
        """Wait for a batch; an error fails single pairs, not the run, unless the model itself is at fault.

        Raises:
            InputError: the model itself is at fault, not a pair.
            WorkerError: the process that the model ran in is gone.
        """
        return join_results([self._collect(items, future, pending.plain) for items, future in pending.parts])

    def _collect(self, items: Sequence[BatchItem], future: Future[BatchOutput], plain: bool) -> BatchResult:
        try:
            output = future.result()
        except OutOfMemoryError as error:
            if len(items) == 1:
                return BatchResult(None, (_failure(items[0].pair_id, error),))
            # Plain forwards go one question at a time where more do not fit, so the batch size did not fill the memory.
            half = len(items) // 2
            if not plain:
                self._most, self._fitted = half, 0
            parts = [items[:half], items[half:]]
            again = [self._collect(part, self._model.submit(part, how=_how(plain)), plain) for part in parts]
            return join_results(again)
        except (InputError, WorkerError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a model raises is recorded with its pair
            if len(items) == 1:
                return BatchResult(None, (_failure(items[0].pair_id, error),))
            single = [
                self._collect([item], self._model.submit([item], how=_how(plain)), plain) for item in items
            ]
            return join_results(single)
        self._grow(len(items))
        return BatchResult(output, ())

    def _grow(self, size: int) -> None:
        if self._most is None or size < self._most:
            return
        self._fitted += 1
        if self._fitted >= _FIT_BEFORE_GROWING:
            self._most, self._fitted = 2 * self._most, 0


def _how(plain: bool) -> How:
    return "plain" if plain else "fast"


def join_results(parts: Sequence[BatchResult]) -> BatchResult:
    """Return the results of parts of a batch as one."""
    outputs = [part.output for part in parts if part.output is not None]
    failures = tuple(failure for part in parts for failure in part.failures)
    return BatchResult(join_outputs(outputs) if outputs else None, failures)


def join_outputs(outputs: Sequence[BatchOutput]) -> BatchOutput:
    """Concatenate the outputs of consecutive pairs."""
    return BatchOutput(
        pair_ids=tuple(pair_id for output in outputs for pair_id in output.pair_ids),
        states=np.concatenate([output.states for output in outputs], axis=1),
        dtype=outputs[0].dtype,
        texts=tuple(text for output in outputs for text in output.texts),
        margins=np.concatenate([output.margins for output in outputs]),
        leads=_joined_leads(outputs),
    )


def _joined_leads(outputs: Sequence[BatchOutput]) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    known = [output.leads for output in outputs if output.leads is not None]
    return np.concatenate(known) if len(known) == len(outputs) else None


def pick_pairs(output: BatchOutput, pair_ids: Sequence[str]) -> BatchOutput:
    """Return an output's rows for these pairs, in their order."""
    place = {pair_id: row for row, pair_id in enumerate(output.pair_ids)}
    rows = [place[pair_id] for pair_id in pair_ids]
    return BatchOutput(
        pair_ids=tuple(pair_ids),
        states=output.states[:, rows],
        dtype=output.dtype,
        texts=tuple(output.texts[row] for row in rows),
        margins=output.margins[rows],
        leads=None if output.leads is None else output.leads[rows],
    )


def make_answers(output: BatchOutput, pairs: Sequence[SwapPair]) -> list[Answer]:
    """Check the answer texts with both checkers; the first one's verdict is stored as ``correct``."""
    by_id = {pair.pair_id: pair for pair in pairs}
    published, words = CHECKERS
    answers = []
    for row, pair_id in enumerate(output.pair_ids):
        for column, (side, question) in enumerate(zip(Side, by_id[pair_id].questions, strict=True)):
            text = output.texts[row][column]
            first = check_answer(text, question.expected, question.opposite, published, question.others)
            second = check_answer(text, question.expected, question.opposite, words, question.others)
            margin = float(output.margins[row, column])
            answers.append(
                Answer(
                    pair_id=pair_id,
                    side=str(side),
                    text=text,
                    parsed=_name(first.parsed),
                    correct=first.correct,
                    checker=published,
                    parsed_words=_name(second.parsed),
                    correct_words=second.correct,
                    margin=margin if math.isfinite(margin) else None,
                )
            )
    return answers


def _name(category: object) -> str | None:
    return None if category is None else str(category)


def _failure(pair_id: str, error: Exception) -> FailureRecord:
    return FailureRecord(pair_id, type(error).__name__, first_line(error)[:500])
