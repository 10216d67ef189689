"""Does it survive another inner product? Coherences and angles of one layer under four of them.

An inner product is a linear map of the deltas, after which all of the geometry is as before. Whitening by the total
covariance is none of the four: it makes independent factors orthogonal by construction.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.deltas import check_finite, deltas
from vlmprobe.analysis.geometry import (
    Layout,
    axis_effect,
    balanced_coherence,
    corrected_cosine,
    sums_of_vectors,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import FloatArray, IntArray
    from vlmprobe.analysis.inference import Estimate

__all__ = [
    "SHRINKAGE",
    "InnerProduct",
    "UnderProduct",
    "causal",
    "robustness",
    "under_products",
    "within_whitened",
    "zscored",
]

#: Share of the mean eigenvalue in each eigenvalue of the within-class covariance.
SHRINKAGE = 0.1


class InnerProduct(StrEnum):
    """How lengths and angles of deltas are measured."""

    EUCLID = "euclid"
    ZSCORE = "zscore"
    """Each dimension of the states at unit variance (Timkey and van Schijndel, arXiv 2109.04404)."""
    WITHIN = "within"
    """The states' covariance around the means of their categories is the identity, but for shrinkage."""
    CAUSAL = "causal"
    """That of the logits: the covariance of the unembedding rows (Park, Choe and Veitch, arXiv 2311.03658)."""


@dataclass(frozen=True, slots=True)
class UnderProduct:
    """One layer under one inner product."""

    product: InnerProduct
    coherence: tuple[Estimate, ...]
    """``axis_coherence.metric`` of each axis: the balanced coherence."""
    cosines: dict[tuple[int, int], Estimate]
    """``vd_ei.metric`` of each pair of axes: the corrected cosine."""


def under_products(
    orig: npt.NDArray[Any],
    swap: npt.NDArray[Any],
    codes: Sequence[int] | IntArray,
    images: Sequence[str],
    n_axes: int,
    *,
    logits: npt.NDArray[Any] | None = None,
) -> tuple[UnderProduct, ...]:
    """Compute the coherences and cosines of all axes of one layer under each inner product.

    Args:
        orig: (N, D) states of the original questions, any float dtype.
        swap: (N, D) states of the swapped questions.
        codes: N category numbers, 2 k and 2 k + 1 of axis k.
        images: N image names or hashes.
        n_axes: K.
        logits: (D, D) covariance of the unembedding rows times the gain of the final norm; without it there is no
            causal product.

    Raises:
        ValueError: the shapes differ, or a state is not finite.
    """
    groups = np.asarray(codes, dtype=np.int64)
    layout, vectors = Layout(groups, images, 2 * n_axes), deltas(orig, swap)
    states = np.concatenate([np.asarray(orig, np.float64), np.asarray(swap, np.float64)])
    check_finite(states, "states", layer=0)
    # After the swap the other category of the axis is the true one.
    classes = np.concatenate([groups, groups ^ 1])
    maps = {
        InnerProduct.EUCLID: vectors,
        InnerProduct.ZSCORE: zscored(vectors, states),
        InnerProduct.WITHIN: within_whitened(vectors, states, classes),
    }
    if logits is not None:
        maps[InnerProduct.CAUSAL] = causal(vectors, logits)
    found = []
    for product, mapped in maps.items():
        sums = sums_of_vectors(mapped, layout)
        units, raw = sums.units.products(), sums.raw.products()
        cosines = {
            (one, other): corrected_cosine(raw, axis_effect(one), axis_effect(other)).estimate()
            for one in range(n_axes)
            for other in range(one + 1, n_axes)
        }
        coherence = tuple(balanced_coherence(units, axis).estimate() for axis in range(n_axes))
        found.append(UnderProduct(product, coherence, cosines))
    return tuple(found)


def robustness(
    found: Sequence[UnderProduct], of: tuple[int, int], controls: Sequence[tuple[int, int]]
) -> str:
    """Say in a word whether a claim about an angle hangs on the inner product.

    ``robust``: its sign, and whether its size is above that of every control, are the same under all four. ``open``:
    one of these angles is NULL under one of them, or one of the four was not computed. ``dependent``: neither.

    Args:
        found: of one layer.
        of: the pair of axes.
        controls: the other pairs, such as those with the horizontal axis.
    """
    said = set()
    by_product: Mapping[InnerProduct, UnderProduct] = {each.product: each for each in found}
    for product in InnerProduct:
        values = [
            by_product[product].cosines[pair].value if product in by_product else None
            for pair in (of, *controls)
        ]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            return "open"
        said.add((known[0] > 0, all(abs(known[0]) > abs(control) for control in known[1:])))
    return "robust" if len(said) == 1 else "dependent"


def zscored(vectors: npt.NDArray[Any], states: npt.NDArray[Any]) -> FloatArray:
    """Divide each dimension of (N, D) deltas by its standard deviation over (M, D) states.

    A dimension in which the states do not differ is 0 in the deltas too, and stays so.
    """
    spread = np.std(np.asarray(states, dtype=np.float64), axis=0)
    found: FloatArray = np.divide(vectors, spread, out=np.zeros(np.shape(vectors)), where=spread > 0)
    return found


def within_whitened(
    vectors: npt.NDArray[Any],
    states: npt.NDArray[Any],
    classes: Sequence[int] | IntArray,
    *,
    shrinkage: float = SHRINKAGE,
) -> FloatArray:
    """Map (N, D) deltas so that states vary alike in every direction around the means of their classes.

    With the covariance C within classes and the mean m of its D eigenvalues: x ((1 - s) C + s m I)^(-1/2). Only the
    directions in which states vary are decomposed, so D may be large.

    Args:
        vectors: (N, D).
        states: (M, D).
        classes: M numbers.
        shrinkage: s, above 0 where there are fewer states than dimensions.
    """
    _, numbers = np.unique(np.asarray(classes, dtype=np.int64), return_inverse=True)
    centered = np.array(states, dtype=np.float64)
    for number in range(numbers.max(initial=-1) + 1):
        centered[numbers == number] -= centered[numbers == number].mean(axis=0)
    n, dim = centered.shape
    free = max(1, n - (int(numbers.max(initial=0)) + 1))
    _, sizes, directions = np.linalg.svd(centered / np.sqrt(free), full_matrices=False)
    eigenvalues = np.square(sizes)
    mean = float(eigenvalues.sum()) / dim
    if mean == 0:
        return np.array(vectors, dtype=np.float64)
    rest = shrinkage * mean
    inside = 1 / np.sqrt((1 - shrinkage) * eigenvalues + rest)
    outside = 1 / np.sqrt(rest) if rest > 0 else 0.0
    along = np.asarray(vectors, dtype=np.float64) @ directions.T
    found: FloatArray = outside * np.asarray(vectors, np.float64) + (along * (inside - outside)) @ directions
    return found


def causal(vectors: npt.NDArray[Any], logits: npt.NDArray[Any]) -> FloatArray:
    """Map (N, D) deltas so that their inner products are x' C y, the covariance of the logits that they add.

    Args:
        vectors: (N, D).
        logits: C, the (D, D) covariance of the unembedding rows times the gain of the final norm.
    """
    eigenvalues, directions = np.linalg.eigh(np.asarray(logits, dtype=np.float64))
    found: FloatArray = (np.asarray(vectors, np.float64) @ directions) * np.sqrt(eigenvalues.clip(min=0.0))
    return found
