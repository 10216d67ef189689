"""What of an axis the unembedding reads as the answer's words, and what is left without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.controls.deltas import sums_of_asked
from vlmprobe.analysis.controls.shares import share_of
from vlmprobe.analysis.geometry import axis_size, balanced_coherence
from vlmprobe.analysis.inference import Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import FloatArray
    from vlmprobe.analysis.geometry import Layout
    from vlmprobe.analysis.inference import Statistic

__all__ = ["DRAWS", "TOO_EARLY", "Readout", "readout", "readout_span", "readouts", "without_span"]

#: Random spans of the control.
DRAWS = 20
TOO_EARLY = "the first two thirds of the layers do not speak the unembedding's language"
#: Singular values below this share of the largest are rounding.
_RANK = 1e-10


@dataclass(frozen=True, slots=True)
class Readout:
    """One axis in one layer without the answer's words, and without as many random words."""

    share: Estimate
    """``readout_share``: |alpha|^2 in the span of the answer's words, of |alpha|^2."""
    coherence: Estimate
    """``axis_coherence.without_readout``: the balanced coherence of what is left."""
    random_share: tuple[float | None, ...]
    """The same of spans of random words, a value a draw."""
    random_coherence: tuple[float | None, ...]
    rank: int
    """Dimensions of the span; by chance it holds rank / D."""
    seed: int
    """Of the draws."""


def readout(
    vectors: npt.NDArray[Any],
    layout: Layout,
    axis: int,
    rows: npt.NDArray[Any],
    answers: Sequence[tuple[int, int]],
    words: Sequence[int],
    *,
    layer: int,
    n_layers: int,
    seed: int,
    n_draws: int = DRAWS,
) -> Readout:
    """Split one axis into what lies in the span of the answer's words and the rest.

    A small change in a layer far from the output proves nothing, so the first two thirds of the layers are refused.

    Args:
        vectors: (N, D) deltas of all axes' pairs, not sign-corrected.
        layout: of the N pairs; groups are categories, 2 k and 2 k + 1 of axis k.
        axis: its number.
        rows: (V, D) unembedding rows times the gain of the final norm.
        answers: of every axis, the rows of its expected word and of the opposite.
        words: rows of real words, from which the control's pairs are drawn; the answer's own are left out.
        layer: number of the layer, from 0.
        n_layers: of the model.
        seed: of a PCG64 generator.
        n_draws: spans of the control.

    Raises:
        ValueError: there are fewer words than the control needs, or shapes differ.
    """
    found = readouts(
        vectors,
        layout,
        [axis],
        rows,
        answers,
        words,
        layer=layer,
        n_layers=n_layers,
        seed=seed,
        n_draws=n_draws,
    )
    return found[0]


def readouts(
    vectors: npt.NDArray[Any],
    layout: Layout,
    axes: Sequence[int],
    rows: npt.NDArray[Any],
    answers: Sequence[tuple[int, int]],
    words: Sequence[int],
    *,
    layer: int,
    n_layers: int,
    seed: int,
    n_draws: int = DRAWS,
) -> list[Readout]:
    """Return ``readout`` of several axes: the spans are the same for all, so the vectors are split once for each."""
    span = readout_span(rows, answers)
    if 3 * (layer + 1) <= 2 * n_layers:
        nothing = Estimate(None, 0, reason=TOO_EARLY)
        return [Readout(nothing, nothing, (), (), len(span), seed) for _ in axes]
    used = {row for pair in answers for row in pair}
    others = np.array(sorted(set(words) - used), dtype=np.int64)
    if len(others) < 2 * len(answers):
        raise ValueError(f"the control needs {2 * len(answers)} words beside the answer's, got {len(others)}")
    rng = np.random.Generator(np.random.PCG64(seed))
    sums = sums_of_asked(vectors, layout).raw.products()
    wholes = [axis_size(sums, axis) for axis in axes]
    own = _split(vectors, layout, axes, span, wholes)
    random = []
    for _ in range(n_draws):
        drawn = rng.choice(others, size=(len(answers), 2), replace=False).tolist()
        random.append(_split(vectors, layout, axes, readout_span(rows, drawn), wholes))
    return [
        Readout(
            *own[place],
            tuple(draw[place][0].value for draw in random),
            tuple(draw[place][1].value for draw in random),
            len(span),
            seed,
        )
        for place in range(len(axes))
    ]


def readout_span(rows: npt.NDArray[Any], pairs: Sequence[Sequence[int]]) -> FloatArray:
    """Return (r, D) orthonormal vectors that span the differences of pairs of rows.

    Args:
        rows: (V, D) unembedding rows times the gain of the final norm.
        pairs: numbers of the rows of a word and of its opposite.

    Raises:
        ValueError: the rows of no pair differ.
    """
    first, second = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    differences = np.subtract(rows[first], rows[second], dtype=np.float64)
    _, sizes, vectors = np.linalg.svd(differences, full_matrices=False)
    if not len(sizes) or sizes[0] == 0:
        raise ValueError("the words of a readout must have different rows")
    span: FloatArray = vectors[sizes > _RANK * sizes[0]]
    return span


def without_span(vectors: npt.NDArray[Any], span: FloatArray) -> FloatArray:
    """Return (N, D) vectors less their part in the span of (r, D) orthonormal ones."""
    deltas = np.asarray(vectors, dtype=np.float64)
    left: FloatArray = deltas - (deltas @ span.T) @ span
    return left


def _split(
    vectors: npt.NDArray[Any],
    layout: Layout,
    axes: Sequence[int],
    span: FloatArray,
    wholes: Sequence[Statistic],
) -> list[tuple[Estimate, Estimate]]:
    # Lengths in the span are those of coordinates along its orthonormal vectors.
    inside = sums_of_asked(np.asarray(vectors, np.float64) @ span.T, layout).raw.products()
    left = sums_of_asked(without_span(vectors, span), layout).units.products()
    return [
        (share_of(axis_size(inside, axis), whole).estimate(), balanced_coherence(left, axis).estimate())
        for axis, whole in zip(axes, wholes, strict=True)
    ]
