"""Asks one batch: whole if it fits, in halves if it does not, pair by pair if something breaks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.errors import ImageError, InputError, WorkerError
from vlmprobe.families import BatchItem, BatchOutput, OutOfMemoryError
from vlmprobe.pairs import CHECKERS, Side, check_answer
from vlmprobe.store.shards import Answer, FailureRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vlmprobe.pairs import Dataset, SwapPair

    Ask = Callable[[Sequence[BatchItem]], BatchOutput]

__all__ = ["Asked", "ask_batch", "join_outputs", "make_answers", "make_items"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a batch gave: an output for the pairs that went well, a record for each that did not."""

    output: BatchOutput | None
    failures: tuple[FailureRecord, ...]
    halved: bool


def make_items(dataset: Dataset, pairs: Sequence[SwapPair]) -> tuple[list[BatchItem], list[FailureRecord]]:
    """Decode each image once and pose both questions about it; a damaged image fails its pairs alone."""
    items: list[BatchItem] = []
    failures: list[FailureRecord] = []
    images = {}
    for pair in pairs:
        try:
            if pair.image_sha256 not in images:
                images[pair.image_sha256] = dataset.image(pair)
        except ImageError as error:
            failures.append(_failure(pair.pair_id, error))
            continue
        orig, swap = pair.questions
        items.append(
            BatchItem(
                pair_id=pair.pair_id,
                image=images[pair.image_sha256],
                questions=(orig.text, swap.text),
                answers=((orig.expected, orig.opposite), (swap.expected, swap.opposite)),
            )
        )
    return items, failures


def ask_batch(ask: Ask, items: Sequence[BatchItem]) -> Asked:
    """Answer items, halving on out-of-memory; any other error fails single pairs, never the run.

    Raises:
        InputError: the model itself is at fault, not a pair.
        WorkerError: the process that the model ran in is gone.
    """
    try:
        return Asked(ask(items), (), halved=False)
    except OutOfMemoryError as error:
        if len(items) == 1:
            return Asked(None, (_failure(items[0].pair_id, error),), halved=True)
        middle = len(items) // 2
        parts = [ask_batch(ask, items[:middle]), ask_batch(ask, items[middle:])]
        return _join(parts, halved=True)
    except (InputError, WorkerError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever a model raises is recorded with its pair
        if len(items) == 1:
            return Asked(None, (_failure(items[0].pair_id, error),), halved=False)
        return _join([ask_batch(ask, [item]) for item in items], halved=False)


def _join(parts: Sequence[Asked], *, halved: bool) -> Asked:
    outputs = [part.output for part in parts if part.output is not None]
    failures = tuple(failure for part in parts for failure in part.failures)
    return Asked(join_outputs(outputs) if outputs else None, failures, halved)


def join_outputs(outputs: Sequence[BatchOutput]) -> BatchOutput:
    """Put the outputs of consecutive pairs into one."""
    return BatchOutput(
        pair_ids=tuple(pair_id for output in outputs for pair_id in output.pair_ids),
        states=np.concatenate([output.states for output in outputs], axis=1),
        dtype=outputs[0].dtype,
        texts=tuple(text for output in outputs for text in output.texts),
        margins=np.concatenate([output.margins for output in outputs]),
    )


def make_answers(output: BatchOutput, pairs: Sequence[SwapPair]) -> list[Answer]:
    """Read the texts with both checkers; the first one's verdict is the row's."""
    by_id = {pair.pair_id: pair for pair in pairs}
    published, words = CHECKERS
    answers = []
    for row, pair_id in enumerate(output.pair_ids):
        for column, (side, question) in enumerate(zip(Side, by_id[pair_id].questions, strict=True)):
            text = output.texts[row][column]
            first = check_answer(text, question.expected, question.opposite, published)
            second = check_answer(text, question.expected, question.opposite, words)
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
    lines = str(error).strip().splitlines() or [""]
    return FailureRecord(pair_id, type(error).__name__, lines[0][:500])
