"""Principal components of states and of deltas: a view of where the categories lie."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.deltas import NOT_FINITE, check_shapes, deltas, working_dtype
from vlmprobe.pairs.axes import SPACE, Side

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import FloatArray
    from vlmprobe.pairs.axes import AxisSet

__all__ = ["Projection", "project_deltas", "project_states", "shares_of_variance"]

#: Up to these numbers of points or dimensions, float64 and a dense decomposition are fast.
_IN_DOUBLE, _DENSE = 400, 50
#: Share of the variance that rounding can leave in a direction that has none.
_NO_VARIANCE: dict[type, float] = {np.float32: 1e-12, np.float64: 1e-13}
#: Relative rounding error that can remain when equal numbers are subtracted.
_ROUNDING = 1e-14


@dataclass(frozen=True, slots=True)
class Projection:
    """N points on k principal components, ready to draw.

    The largest loading of a component, in magnitude, is positive (the first such, if several tie): a
    component is defined up to its sign, and this one does not change from run to run.
    """

    points: FloatArray
    """(N, k) coordinates around the mean, in the states' own unit; NaN for too few points."""
    explained: tuple[float, ...]
    """Each component's share of the variance, k values in [0, 1]; NaN for too few points."""
    categories: tuple[str, ...]
    """N category names; a category has one axis."""
    sides: tuple[str, ...]
    """N of orig, swap for states; () for deltas."""


def project_states(
    orig: npt.NDArray[Any],
    swap: npt.NDArray[Any],
    categories: Sequence[str],
    n_components: int = 2,
    axes: AxisSet = SPACE,
) -> Projection:
    """Project the states of both sides together: first the N originals, then the N swapped ones.

    Args:
        orig: (N, D) hidden states of the original questions, any float dtype.
        swap: (N, D) hidden states of the swapped questions, row for row.
        categories: N category names of the pairs.
        n_components: k, 2 or 3 for a figure.
        axes: the set that the categories are of.

    Raises:
        ValueError: shapes or lengths differ, a name is no category, or a state is not finite.
    """
    check_shapes(orig, swap)
    names = _names(categories, len(orig), axes)
    sides = (str(Side.ORIG),) * len(names) + (str(Side.SWAP),) * len(names)
    return Projection(
        *_principal(np.vstack([orig, swap]), n_components, working_dtype(orig)), names * 2, sides
    )


def project_deltas(
    orig: npt.NDArray[Any],
    swap: npt.NDArray[Any],
    categories: Sequence[str],
    n_components: int = 2,
    axes: AxisSet = SPACE,
) -> Projection:
    """Project the deltas, not sign-corrected: opposite categories lie on opposite sides.

    Args:
        orig: (N, D) hidden states of the original questions, any float dtype.
        swap: (N, D) hidden states of the swapped questions, row for row.
        categories: N category names of the pairs.
        n_components: k, 2 or 3 for a figure.
        axes: the set that the categories are of.

    Raises:
        ValueError: shapes or lengths differ, a name is no category, or a state is not finite.
    """
    difference = deltas(orig, swap)
    return Projection(
        *_principal(difference, n_components, working_dtype(orig)),
        _names(categories, len(difference), axes),
        (),
    )


def _names(categories: Sequence[str], n: int, axes: AxisSet) -> tuple[str, ...]:
    if len(categories) != n:
        raise ValueError(f"{n} pairs need {n} categories, got {len(categories)}")
    name_of = {name: str(axes.category(name)) for name in set(categories)}
    return tuple(name_of[name] for name in categories)


def _principal(
    vectors: npt.NDArray[Any], k: int, precision: type[np.float32 | np.float64]
) -> tuple[FloatArray, tuple[float, ...]]:
    """Return (N, k) coordinates and k shares of the variance; NaN for N < k + 1, D < k or no variance."""
    if k < 1:
        raise ValueError(f"a projection needs at least one component, got {k}")
    if not np.isfinite(vectors).all():
        raise ValueError(f"there are {NOT_FINITE}")
    n, dim = vectors.shape
    if n < k + 1 or dim < k:
        return np.full((n, k), nan), (nan,) * k
    dtype = precision if min(n, dim) > _IN_DOUBLE else np.float64
    vectors = vectors.astype(np.promote_types(vectors.dtype, dtype), copy=False)
    mean = vectors.mean(axis=0, dtype=np.float64).astype(vectors.dtype)
    centered = (vectors - mean).astype(dtype, copy=False)
    # What remains of equal vectors after subtracting the mean is rounding, not variance.
    if np.abs(centered).max() <= _ROUNDING * np.abs(vectors).max():
        return np.full((n, k), nan), (nan,) * k
    components = _components(centered, k).astype(np.float64)
    largest = components[np.arange(k), np.abs(components).argmax(axis=1)]
    # In float32, the vectors of the decomposition have length 1 to six digits only.
    components *= (np.sign(largest) / np.linalg.norm(components, axis=1))[:, None]
    points: FloatArray = (centered @ components.T.astype(dtype)).astype(np.float64)
    variances = np.square(points).sum(axis=0)
    total = float(np.einsum("ij,ij->", centered, centered, dtype=np.float64))
    # Without variance, a direction is made of rounding errors, and coordinates along it are meaningless.
    flat = variances <= _NO_VARIANCE[dtype] * total
    points[:, flat] = variances[flat] = 0.0
    return points, tuple((variances / total).clip(0.0, 1.0).tolist())


def shares_of_variance(gram: FloatArray, k: int, *, spread: float, largest: float) -> tuple[float, ...]:
    """Return the shares of the first k components from the (D, D) products of centered dimensions.

    Args:
        gram: their sums over all vectors.
        k: at most D.
        spread: the largest magnitude of a centered number.
        largest: that of a number as it is.
    """
    if spread <= _ROUNDING * largest:
        return (nan,) * k
    if len(gram) <= _DENSE:
        variances = np.linalg.eigvalsh(gram)[::-1][:k]
    else:
        from scipy.sparse.linalg import eigsh

        start = np.random.Generator(np.random.PCG64(0)).normal(size=len(gram))
        variances = np.sort(eigsh(gram, k, v0=start, return_eigenvectors=False))[::-1]
    total = float(np.trace(gram))
    variances = np.where(variances <= _NO_VARIANCE[np.float32] * total, 0.0, variances)
    return tuple((variances / total).clip(0.0, 1.0).tolist())


def _components(centered: npt.NDArray[Any], k: int) -> npt.NDArray[Any]:
    """Return the first k right singular vectors, (k, D); a fixed start vector makes them reproducible."""
    if min(centered.shape) <= _DENSE:
        return np.linalg.svd(centered, full_matrices=False)[2][:k]
    from scipy.sparse.linalg import svds

    start = np.random.Generator(np.random.PCG64(0)).normal(size=min(centered.shape))
    return np.asarray(svds(centered, k, v0=start.astype(centered.dtype))[2][::-1])
