"""Which batches and pairs are certified against plain forwards, and the row that a certificate leaves."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vlmprobe.errors import VlmprobeError
from vlmprobe.extraction.asked import items_of, output_of, pair_id_of
from vlmprobe.extraction.inference import pick_pairs
from vlmprobe.families import certified_batches, compare

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from vlmprobe.extraction.asked import Questions
    from vlmprobe.extraction.batches import Batch
    from vlmprobe.families import BatchItem, BatchOutput
    from vlmprobe.families.certificate import Comparison

__all__ = ["certificate_row", "choose_batches", "choose_pairs", "compare_runs", "exact_output"]

#: Pairs of a certified batch that also get a plain forward, which costs as much as dozens of batched ones.
_PAIRS = 8
#: So many of each run, where several share the batches.
_LEAST_OF_A_RUN = 2


def choose_batches(batches: Sequence[Batch]) -> dict[int, str]:
    """Choose the batches to certify, separately among the dataset's own batches and those for quads."""
    chosen: dict[int, str] = {}
    for for_quads in (False, True):
        group = [batch for batch in batches if batch.for_quads == for_quads]
        reasons = certified_batches([batch.pixels for batch in group])
        chosen |= {group[place].number: reason for place, reason in reasons.items()}
    return chosen


def choose_pairs(items: Sequence[BatchItem], questions: Questions) -> list[BatchItem]:
    """Return a few items of a batch: the shortest, the longest, and others by the hash of their ids.

    A fault may hit one place in a batch, such as the last or a padded one; by hash, any place can be chosen. Several
    runs get other pairs each, as far as there are.

    Args:
        items: of all runs; see :func:`keyed`.
        questions: what they ask.
    """
    n_runs = len(questions)
    each = max(_PAIRS // n_runs, _LEAST_OF_A_RUN)
    own = [
        {pair_id_of(item, place, questions): item for item in items_of(items, place, questions)}
        for place in range(n_runs)
    ]
    lengths: dict[str, tuple[int, int]] = {}
    for of_run in own:
        for pair_id, item in of_run.items():
            lengths[pair_id] = max(lengths.get(pair_id, (0, 0)), _length(item))
    by_length = sorted(lengths, key=lengths.__getitem__)
    order = [*dict.fromkeys([*by_length[:1], *by_length[-1:], *sorted(lengths, key=_hash)])]
    chosen: list[BatchItem] = []
    for place, of_run in enumerate(own):
        turns = dict.fromkeys([*order[place::n_runs], *order])
        chosen += [of_run[pair_id] for pair_id in turns if pair_id in of_run][:each]
    return chosen


def _length(item: BatchItem) -> tuple[int, int]:
    """Return what a prompt's length grows with: pixels first, then the questions' characters."""
    return item.image.width * item.image.height, sum(map(len, item.questions))


def _hash(pair_id: str) -> bytes:
    return hashlib.sha256(pair_id.encode()).digest()


def exact_output(future: Future[BatchOutput] | None) -> BatchOutput | None:
    """Return the float32 output, or None if it failed; it is only informative and never fails a run.

    Raises:
        VlmprobeError: the model itself is at fault.
    """
    try:
        return None if future is None else future.result()
    except VlmprobeError:
        raise
    except Exception:  # noqa: BLE001 - one of its pairs may be refused, memory may be short, there may be no such pass
        return None


def compare_runs(
    fast: BatchOutput,
    plain: BatchOutput,
    exact: BatchOutput | None,
    questions: Questions,
    layers: Sequence[int],
) -> tuple[Comparison, dict[int, tuple[Comparison, int]]] | None:
    """Compare the pairs that both ways of a batch have.

    The pairs of all runs together decide, for the runs were answered by the same passes.

    Returns:
        The comparison of all, and by the place of each run that of its own pairs, with the verdict of all, and their
        number. None without any pair.
    """
    found = _compare_same(fast, plain, layers, exact)
    if found is None:
        return None
    whole, _ = found
    own = {}
    for place in range(len(questions)):
        our_fast, our_plain = (output_of(output, place, questions) for output in (fast, plain))
        if our_fast is None or our_plain is None:
            continue
        each = _compare_same(our_fast, our_plain, layers, output_of(exact, place, questions))
        if each is not None:
            own[place] = replace(each[0], passed=whole.passed), each[1]
    return whole, own


def _compare_same(
    fast: BatchOutput, plain: BatchOutput, layers: Sequence[int], exact: BatchOutput | None
) -> tuple[Comparison, int] | None:
    """Compare the pairs that both runs of a batch have; return the comparison and their number, None without any."""
    shared = [pair_id for pair_id in plain.pair_ids if pair_id in set(fast.pair_ids)]
    if not shared:
        return None
    truth = exact if exact is None or not set(shared) <= set(exact.pair_ids) else pick_pairs(exact, shared)
    return compare(pick_pairs(fast, shared), pick_pairs(plain, shared), layers, truth), len(shared)


def certificate_row(
    comparison: Comparison, *, batch: int, reason: str, n_pairs: int, dtype: str
) -> dict[str, Any]:
    """Return a certificate as a row."""
    return {
        "batch": batch,
        "reason": reason,
        "n_questions": 2 * n_pairs,
        "dtype": dtype,
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


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
