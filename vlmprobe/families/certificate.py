"""Certifies the fast path: compares its output with one plain forward pass per question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.arrays import to_float32

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.families.worker import BatchOutput

    Floats = np.ndarray[Any, np.dtype[np.float64]]

__all__ = ["Comparison", "certified_batches", "compare"]

#: float32: the largest |dh|/|h| that passes.
MAX_REL_DH = 1e-5
#: Half precision: the median cosine of the deltas that passes.
MIN_MEDIAN_DELTA_COS = 0.99
#: Half precision: below this |delta|/|h| a layer's delta is mostly rounding, and its cosine says nothing.
MIN_DELTA_RATIO = 0.02
#: Half precision with a float32 reference: how many times the plain path's delta error passes.
MAX_ERROR_RATIO = 1.1
#: The same of a single pair, whose errors vary: a row that holds another's states is off by more.
MAX_PAIR_ERROR_RATIO = 3.0
#: Half precision: a pair whose deltas have a smaller median cosine is compared in float32.
MIN_PAIR_COS = 0.9
#: Answers whose margin is no larger than this are near ties, which rounding may flip.
MIN_MARGIN = 0.1
#: So are those with a token that led by no more than this: near a logit, bfloat16 has steps of 1/8.
MIN_LEAD = 0.5


@dataclass(frozen=True, slots=True)
class Comparison:
    """The outcome of running a batch both ways."""

    max_rel_dh: float
    """Largest |h_fast - h_plain| / |h_plain| over layers, pairs and sides."""
    median_delta_cos: float
    """Median cosine of fast and plain delta over the pairs of the counted layers; NaN when none counts."""
    layers_counted: tuple[int, ...]
    """Layers whose mean |delta|/|h(orig)| of the plain run is at least 0.02."""
    delta_error: float
    """Median of |delta_fast - delta_exact| / |delta_exact| over the same; NaN where float32 is not known."""
    plain_delta_error: float
    """The same of the plain run."""
    pair_cos: float
    """Half precision: the smallest median cosine that a pair has over the counted layers; NaN when none counts."""
    pair_error_ratio: float
    """The largest ratio of a pair's delta error to the plain run's, or to the plain run's of all pairs if that is
    larger; NaN where float32 is not known."""
    answers_compared: int
    """Answers that are not near ties. Half precision: plain |margin| above 0.1 and each token's lead above
    0.5; float32: |margin| above 0.1, or no margin at all."""
    answers_equal: int
    passed: bool

    @property
    def needs_float32(self) -> bool:
        """Whether only float32 can tell a fault from rounding: two roundings of a tiny delta can differ a lot."""
        known = np.isfinite(self.plain_delta_error)
        return not known and (not self.passed or self.pair_cos < MIN_PAIR_COS)


def compare(
    fast: BatchOutput, plain: BatchOutput, layers: Sequence[int], exact: BatchOutput | None = None
) -> Comparison:
    """Compare the fast run of a batch with the plain run of the same pairs.

    float32 passes when ``max_rel_dh`` <= 1e-5. Half precision passes when its deltas are as close to those of float32
    as the plain run's are (``delta_error`` <= 1.1 ``plain_delta_error``, and no pair's more than three times); where
    float32 is not known, when ``median_delta_cos`` >= 0.99. All need all compared answers equal. In half precision
    with no layer to count, the answers alone decide. States that are not finite never pass.

    Args:
        fast: states of shape (layers, N, 2, dim).
        plain: the same pairs in the same order.
        layers: the layers' numbers, in the order of the states.
        exact: states of plain forwards in float32, where they are known.

    Raises:
        ValueError: the two runs do not hold the same pairs and layers.
    """
    if fast.pair_ids != plain.pair_ids or fast.states.shape != plain.states.shape:
        raise ValueError("the two runs to compare hold different pairs or shapes")
    if exact is not None and (exact.pair_ids != plain.pair_ids or exact.states.shape != plain.states.shape):
        raise ValueError("the exact run holds different pairs or shapes from the two runs to compare")
    if fast.states.shape[0] != len(layers):
        raise ValueError(f"{len(layers)} layer numbers for states of {fast.states.shape[0]} layers")
    ours = to_float32(fast.states, fast.dtype).astype(np.float64)
    theirs = to_float32(plain.states, plain.dtype).astype(np.float64)

    max_rel_dh = _largest_relative_difference(ours, theirs)
    counted, cosines = _delta_agreement(ours, theirs)
    median_cos = _median(cosines)
    compared = [
        fast.texts[pair][side] == plain.texts[pair][side]
        for pair, side in zip(*np.nonzero(_is_clear(fast, plain)), strict=True)
    ]
    errors, pair_ratio = (float("nan"), float("nan")), float("nan")
    if exact is not None:
        truth = to_float32(exact.states, exact.dtype).astype(np.float64)
        of_both = [_delta_errors(states, truth, counted) for states in (ours, theirs)]
        errors = _median(of_both[0]), _median(of_both[1])
        pair_ratio = _largest_ratio(*of_both)
    if fast.dtype == "float32":
        states_agree = max_rel_dh <= MAX_REL_DH
    elif not np.isfinite(max_rel_dh):
        states_agree = False
    elif np.isfinite(errors).all():
        states_agree = errors[0] <= MAX_ERROR_RATIO * errors[1] and not pair_ratio > MAX_PAIR_ERROR_RATIO
    else:
        states_agree = not counted or median_cos >= MIN_MEDIAN_DELTA_COS
    return Comparison(
        max_rel_dh=max_rel_dh,
        median_delta_cos=median_cos,
        layers_counted=tuple(layers[index] for index in counted),
        delta_error=errors[0],
        plain_delta_error=errors[1],
        pair_cos=float(np.min(_medians(cosines), initial=np.inf)) if counted else float("nan"),
        pair_error_ratio=pair_ratio,
        answers_compared=len(compared),
        answers_equal=sum(compared),
        passed=states_agree and all(compared),
    )


def certified_batches(plan_sizes: Sequence[int], every: int = 50) -> dict[int, str]:
    """Choose the batches to certify: the first, the largest, and every 50th.

    Args:
        plan_sizes: the planned batches' sizes, in order.
        every: one batch in so many.

    Returns:
        Batch number (from 0, ascending) -> why: ``first``, ``largest`` or ``sample``.
    """
    if every < 1:
        raise ValueError(f"every must be at least 1, not {every}")
    chosen = dict.fromkeys(range(0, len(plan_sizes), every), "sample")
    if plan_sizes:
        chosen[max(range(len(plan_sizes)), key=plan_sizes.__getitem__)] = "largest"
        chosen[0] = "first"
    return dict(sorted(chosen.items()))


def _is_clear(fast: BatchOutput, plain: BatchOutput) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Mark the answers that must be equal.

    Without a margin nothing is known to excuse a difference, but in half precision it may still be a tie.
    """
    size = np.abs(plain.margins)
    clear: np.ndarray[Any, np.dtype[np.bool_]] = size > MIN_MARGIN
    if plain.dtype == "float32":
        clear |= np.isnan(size)
        return clear
    # The margin compares only two words; other words may be tied.
    if fast.leads is not None:
        clear &= fast.leads > MIN_LEAD
    return clear


def _largest_relative_difference(ours: Floats, theirs: Floats) -> float:
    difference = np.linalg.norm(ours - theirs, axis=-1)
    size = np.linalg.norm(theirs, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(difference == 0, 0.0, difference / size)
    return float(np.max(relative, initial=0.0)) if relative.size else float("nan")


def _delta_agreement(ours: Floats, theirs: Floats) -> tuple[list[int], Floats]:
    """Return the indices of the counted layers and, (counted layers, pairs), the deltas' cosines; NaN without one."""
    deltas = [states[:, :, 1] - states[:, :, 0] for states in (ours, theirs)]
    our_size, their_size = (np.linalg.norm(delta, axis=-1) for delta in deltas)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.mean(their_size / np.linalg.norm(theirs[:, :, 0], axis=-1), axis=-1)
        cosines = np.einsum("lnd,lnd->ln", *deltas) / (our_size * their_size)
    counted = [index for index, value in enumerate(ratio) if value >= MIN_DELTA_RATIO]
    # A pair without a plain delta has no direction to agree with; one that only the fast path lost disagrees.
    agreement = np.where(their_size > 0, np.where(our_size == 0, 0.0, cosines), np.nan)
    return counted, agreement[counted]


def _delta_errors(states: Floats, exact: Floats, counted: Sequence[int]) -> Floats:
    """Return |delta - exact delta| / |exact delta|, (counted layers, pairs); NaN where that delta is none."""
    ours, truth = (each[counted, :, 1] - each[counted, :, 0] for each in (states, exact))
    size = np.linalg.norm(truth, axis=-1)
    errors: Floats = np.linalg.norm(ours - truth, axis=-1) / np.where(size > 0, size, np.nan)
    return np.where(np.isfinite(errors), errors, np.nan)


def _largest_ratio(fast: Floats, plain: Floats) -> float:
    """Return the largest ratio of a pair's median error to its own or the median of all, whichever is larger."""
    ours, theirs = _medians(fast), np.maximum(_medians(plain), _median(plain))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(ours == 0, 0.0, ours / theirs)
    known = ratios[~np.isnan(ratios)]
    return float(known.max()) if known.size else float("nan")


def _median(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if known.size else float("nan")


def _medians(values: Floats) -> Floats:
    """Return the median over layers of each pair that has one, from (layers, pairs)."""
    return np.array([_median(column) for column in values.T])
