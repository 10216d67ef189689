"""How alike two directions are by chance, where deltas fill few dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.controls.deltas import asked

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import BoolArray, FloatArray

__all__ = ["chance_cosine"]

_DRAWS, _LEVEL = 400, 0.95


def chance_cosine(
    first: npt.NDArray[Any], second: npt.NDArray[Any], canonical: Sequence[bool] | BoolArray, *, seed: int
) -> float | None:
    """Return the 95 % point of |cos| of two random directions, drawn from the covariances within categories.

    Directions that are drawn evenly from all dimensions are no control: they miss every direction in which deltas vary.
    Those of raw deltas would hold the axis itself.

    Args:
        first: (N, D) deltas of one axis, not sign-corrected; a row of NaN is a pair that was not asked.
        second: (N, D) other deltas of the same pairs.
        canonical: (N,) whether the pair is of the canonical category.
        seed: of a PCG64 generator.

    Returns:
        None where deltas do not vary within categories.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    ends = np.asarray(canonical, dtype=bool)
    one, other = (_drawn(vectors, ends, rng) for vectors in (first, second))
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    if not len(lengths) or lengths.min() == 0:
        return None
    return float(np.quantile(np.abs(np.einsum("ij,ij->i", one, other)) / lengths, _LEVEL))


def _drawn(vectors: npt.NDArray[Any], canonical: BoolArray, rng: np.random.Generator) -> FloatArray:
    """Draw from N(0, C): sums of centered deltas with normal weights have their covariance."""
    inside = asked(vectors)
    centered = []
    for end in (True, False):
        deltas = np.asarray(vectors[inside & (canonical == end)], dtype=np.float64)
        if len(deltas):
            centered.append(deltas - deltas.mean(axis=0))
    rows = np.concatenate(centered) if centered else np.zeros((0, vectors.shape[1]))
    drawn: FloatArray = rng.normal(size=(_DRAWS, len(rows))) @ rows
    return drawn
