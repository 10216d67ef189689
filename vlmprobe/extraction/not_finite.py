"""Finds hidden states that hold no number: NaN or infinity, of weights that diverged or a format that overflowed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.errors import ModelError
from vlmprobe.extraction.inference import BatchResult, pick_pairs
from vlmprobe.store.shards import FailureRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.families import BatchOutput

__all__ = ["check_first_batch", "not_finite", "without_not_finite"]

#: Of a bfloat16's bits those of the exponent; where all are set it is NaN or infinity.
_EXPONENT = 0x7F80
_ERROR = "NotFiniteError"


def without_not_finite(result: BatchResult, layers: Sequence[int]) -> BatchResult:
    """Return the result of a batch with pairs whose states are not finite among the failures.

    Args:
        result: states of shape (layers, N, 2, dim).
        layers: the layers' numbers, in the order of the states.
    """
    output = result.output
    if output is None:
        return result
    bad = np.asarray(~_finite(output).all(axis=2))
    lost = {
        pair_id: layers[int(np.argmax(bad[:, row]))]
        for row, pair_id in enumerate(output.pair_ids)
        if bad[:, row].any()
    }
    if not lost:
        return result
    failures = [
        FailureRecord(pair_id, _ERROR, f"hidden states are not finite from layer {layer} on")
        for pair_id, layer in lost.items()
    ]
    kept = [pair_id for pair_id in output.pair_ids if pair_id not in lost]
    return BatchResult(pick_pairs(output, kept) if kept else None, (*result.failures, *failures))


def not_finite(result: BatchResult) -> list[FailureRecord]:
    """Return the failures of pairs whose states are not finite."""
    return [failure for failure in result.failures if failure.error == _ERROR]


def check_first_batch(name: str, result: BatchResult, dtype: str) -> None:
    """Check that a run's first batch has a pair with finite states; later ones will not be better.

    Args:
        name: the run's name.
        result: from :func:`without_not_finite`.
        dtype: the number format that the model runs in.

    Raises:
        ModelError: none has; the line says from which layer on, and the way out.
    """
    lost = not_finite(result)
    if result.output is not None or not lost:
        return
    what = (
        "float16 ends at 65504: use --dtype bfloat16 or float32"
        if dtype == "float16"
        else "its weights hold NaN, infinity or far too large numbers, as after a training that diverged: use an "
        "earlier checkpoint"
    )
    raise ModelError(
        f"{name}: {lost[0].message}, in all {len(lost)} pairs of the first batch ({dtype}); {what}"
    )


def _finite(output: BatchOutput) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return whether each state is finite, (layers, N, 2)."""
    states = output.states
    each = (states & _EXPONENT) != _EXPONENT if output.dtype == "bfloat16" else np.isfinite(states)
    return np.asarray(each.all(axis=-1))
