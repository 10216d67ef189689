"""Few dimensions that carry everything: rogue dimensions, participation, anisotropy."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.controls.deltas import sums_of_asked
from vlmprobe.analysis.geometry import Layout, balanced_coherence, pairwise_coherence, sums_of_vectors

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import FloatArray
    from vlmprobe.analysis.inference import Statistic

__all__ = ["anisotropy", "coherence_by_dimension", "participation_ratio", "rogue_share"]


def coherence_by_dimension(vectors: npt.NDArray[Any], layout: Layout, axis: int) -> FloatArray:
    """Return (D,) what each dimension adds to the balanced coherence of an axis; their sum is that coherence.

    P of each dimension alone, from products of different images.

    Args:
        vectors: (N, D) finite deltas, not sign-corrected.
        layout: of the N pairs; groups are categories, 2 k and 2 k + 1 of axis k.
        axis: its number.
    """
    lengths = np.linalg.norm(np.asarray(vectors, dtype=np.float64), axis=1)
    kept = (layout.groups // 2 == axis) & (lengths > 0)
    units = np.asarray(vectors, dtype=np.float64)[kept] / lengths[kept, None]
    images, groups = layout.images[kept], layout.groups[kept] % 2
    sums = np.zeros((layout.n_images, 2, units.shape[1]))
    np.add.at(sums, (images, groups), units)
    counts = np.zeros((layout.n_images, 2))
    np.add.at(counts, (images, groups), 1.0)

    def product(one: int, other: int) -> FloatArray:
        pairs = counts[:, one].sum() * counts[:, other].sum() - counts[:, one] @ counts[:, other]
        total = sums[:, one].sum(axis=0) * sums[:, other].sum(axis=0)
        found: FloatArray = total - (sums[:, one] * sums[:, other]).sum(axis=0)
        return found / pairs if pairs > 0 else np.full_like(found, nan)

    return (product(0, 0) + product(1, 1) - 2 * product(0, 1)) / 4


def rogue_share(
    vectors: npt.NDArray[Any], layout: Layout, axis: int, *, top: Sequence[int] = (1, 3)
) -> tuple[float | None, ...]:
    """Return the shares of an axis's coherence that its best 1 and best 3 dimensions hold.

    Above .5 in one dimension the coherence is one of that dimension; compare z-scored deltas. Noise lets a share pass
    1 a little, since other dimensions may come out below 0.

    Returns:
        A share for each of ``top``; None where the coherence is not resolved.
    """
    coherence = balanced_coherence(sums_of_asked(vectors, layout).units.products(), axis).estimate()
    if not coherence.is_resolved:
        return (None,) * len(top)
    each = np.sort(coherence_by_dimension(vectors, layout, axis))[::-1]
    return tuple(float(each[:count].sum() / each.sum()) for count in top)


def participation_ratio(vectors: npt.NDArray[Any]) -> float | None:
    """Return (sum lambda)^2 / sum lambda^2 of the eigenvalues of the covariance: how many dimensions vectors fill.

    1: a line. D: all of them alike. None where the vectors do not differ.

    Args:
        vectors: (N, D) states or deltas.
    """
    centered = np.asarray(vectors, dtype=np.float64) - np.mean(vectors, axis=0, dtype=np.float64)
    n, dim = centered.shape
    # Squared entries of the smaller of the two matrices of products sum to sum lambda^2.
    gram = centered @ centered.T if n < dim else centered.T @ centered
    squares = float(np.square(gram).sum())
    return float(np.trace(gram)) ** 2 / squares if squares > 0 else None


def anisotropy(states: npt.NDArray[Any], images: Sequence[str]) -> Statistic:
    """Estimate the mean cosine of states of different images (Ethayarajh, EMNLP 2019).

    0: states point everywhere. Near 1: all point one way, and cosines of states say little.

    Args:
        states: (N, D).
        images: N image names or hashes.
    """
    layout = Layout(np.zeros(len(states), dtype=np.int64), images, 1)
    return pairwise_coherence(sums_of_vectors(states, layout).units.products(), 0)
