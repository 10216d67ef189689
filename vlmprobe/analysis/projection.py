"""Principal components of states and of deltas: a view of where the categories lie."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.deltas import check_shapes, deltas, working_dtype
from vlmprobe.pairs.axes import Side, parse_category

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import FloatArray

__all__ = ["PCA_VERSION", "Projection", "project_deltas", "project_states"]

#: Of ``pca`` among the stored results, which hold the explained variance.
PCA_VERSION = 1

#: Up to here all eigenvectors take less time than the iteration for the first few.
_SMALL = 400
#: Vectors in a block, of which a product costs about as much as of a few, and steps: enough to converge unless the
#: spectrum is nearly flat.
_BLOCK, _STEPS = 16, 10
#: Of the largest eigenvalue, what may be left of a vector (an eigenvalue is then closer by the square of that), and
#: how far a basis may be from orthonormal: several times what rounding leaves.
_CONVERGED: dict[type, float] = {np.float32: 3e-6, np.float64: 1e-9}
_ORTHONORMAL: dict[type, float] = {np.float32: 1e-4, np.float64: 1e-9}
#: Share of the variance that rounding can leave in a direction that has none.
_NO_VARIANCE: dict[type, float] = {np.float32: 1e-12, np.float64: 1e-13}
#: Of a number, what the subtraction of an equal one can leave.
_ROUNDING = 1e-14
#: Numbers in float64 at a time: they stay in the processor's cache.
_PART = 2**15


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
    orig: npt.NDArray[Any], swap: npt.NDArray[Any], categories: Sequence[str], n_components: int = 2
) -> Projection:
    """Project the states of both sides together: first the N originals, then the N swapped ones.

    Args:
        orig: (N, D) hidden states of the original questions, any float dtype.
        swap: (N, D) hidden states of the swapped questions, row for row.
        categories: N category names of the pairs.
        n_components: k, 2 or 3 for a figure.

    Raises:
        ValueError: shapes or lengths differ, a name is no category, or a state is not finite.
    """
    check_shapes(orig, swap)
    names = _names(categories, len(orig))
    sides = (str(Side.ORIG),) * len(names) + (str(Side.SWAP),) * len(names)
    return Projection(
        *_principal(np.vstack([orig, swap]), n_components, working_dtype(orig)), names * 2, sides
    )


def project_deltas(
    orig: npt.NDArray[Any], swap: npt.NDArray[Any], categories: Sequence[str], n_components: int = 2
) -> Projection:
    """Project the deltas, not sign-corrected: opposite categories lie on opposite sides.

    Args:
        orig: (N, D) hidden states of the original questions, any float dtype.
        swap: (N, D) hidden states of the swapped questions, row for row.
        categories: N category names of the pairs.
        n_components: k, 2 or 3 for a figure.

    Raises:
        ValueError: shapes or lengths differ, a name is no category, or a state is not finite.
    """
    difference = deltas(orig, swap)
    return Projection(
        *_principal(difference, n_components, working_dtype(orig)), _names(categories, len(difference)), ()
    )


def _names(categories: Sequence[str], n: int) -> tuple[str, ...]:
    if len(categories) != n:
        raise ValueError(f"{n} pairs need as many categories, got {len(categories)}")
    name_of = {name: str(parse_category(name)) for name in set(categories)}
    return tuple(name_of[name] for name in categories)


def _principal(
    vectors: npt.NDArray[Any], k: int, precision: type[np.float32 | np.float64]
) -> tuple[FloatArray, tuple[float, ...]]:
    """Return (N, k) coordinates and k shares of the variance; NaN for N < k + 1, D < k or no variance."""
    if k < 1:
        raise ValueError(f"a projection needs at least one component, got {k}")
    n, dim = vectors.shape
    # Few vectors take no time, and are looked at more closely.
    dtype = precision if min(n, dim) > _SMALL else np.float64
    centred, before, total = _centred(vectors, dtype)
    if not np.isfinite(before):
        raise ValueError("hidden states are not finite; extract them again in float32 or bfloat16")
    # What the subtraction of the mean leaves of equal vectors is rounding, no variance.
    if n < k + 1 or dim < k or total <= _ROUNDING**2 * before:
        return np.full((n, k), nan), (nan,) * k
    rows = centred if n <= dim else centred.T
    vectors_of = _leading(rows, k)
    images = (rows.T @ vectors_of).astype(np.float64)
    variances = np.einsum("ij,ij->j", images, images)
    components = images if n <= dim else vectors_of.astype(np.float64)
    components = components / np.maximum(np.linalg.norm(components, axis=0), np.finfo(np.float64).tiny)
    # Without variance a direction is rounding, and no coordinate along it means anything.
    flat = variances <= _NO_VARIANCE[dtype] * total
    components, variances = np.where(flat, 0.0, components), np.where(flat, 0.0, variances)
    largest = components[np.abs(components).argmax(axis=0), np.arange(k)]
    components *= np.where(largest < 0, -1.0, 1.0)
    points: FloatArray = (centred @ components.astype(dtype)).astype(np.float64)
    return points, tuple(float(variance) for variance in np.clip(variances / total, 0.0, 1.0))


def _centred(vectors: npt.NDArray[Any], dtype: type[np.floating]) -> tuple[npt.NDArray[Any], float, float]:
    """Return the vectors around their mean, and the sum of their squares before and after; in float64 part by part."""
    n, dim = vectors.shape
    step = max(1, _PART // max(dim, 1))
    parts = [slice(start, start + step) for start in range(0, n, step)]
    mean, before, after = np.zeros(dim), 0.0, 0.0
    with np.errstate(invalid="ignore", over="ignore"):  # the caller looks at the sum
        for rows in parts:
            part = vectors[rows].astype(np.float64)
            mean += part.sum(axis=0)
            before += float(np.vdot(part, part))
        mean /= max(n, 1)
        centred = np.empty((n, dim), dtype=dtype)
        for rows in parts:
            part = vectors[rows] - mean
            after += float(np.vdot(part, part))
            centred[rows] = part
    return centred, before, after


def _leading(rows: npt.NDArray[Any], k: int) -> npt.NDArray[Any]:
    """Return (M, k) eigenvectors of rows @ rows.T, of M <= L dimensions, the largest eigenvalue first.

    Large ones by block Lanczos with full reorthogonalisation (Golub and Van Loan, Matrix Computations, 10.3)
    from a fixed start; where that has not converged, by all eigenvectors, as for small ones.
    """
    if len(rows) > _SMALL:
        # Where float32 does not get there, its rounding may be what stands in the way.
        for precision in dict.fromkeys((rows.dtype, np.dtype(np.float64))):
            found = _krylov(rows.astype(precision, copy=False), k)
            if found is not None:
                return found
    vectors: FloatArray = np.linalg.eigh((rows @ rows.T).astype(np.float64))[1]
    return vectors[:, ::-1][:, :k]


def _krylov(rows: npt.NDArray[Any], k: int) -> npt.NDArray[Any] | None:
    """Do the block Lanczos of ``_leading``; None if it has not converged."""
    tolerance = _CONVERGED[rows.dtype.type]
    start = np.random.Generator(np.random.PCG64(0)).normal(size=(len(rows), max(_BLOCK, k + 5)))
    blocks = [np.linalg.qr(start.astype(rows.dtype))[0]]
    images: list[npt.NDArray[Any]] = []
    for _ in range(_STEPS):
        images.append(rows @ (rows.T @ blocks[-1]))
        basis, image = np.hstack(blocks), np.hstack(images)
        values, mixed = np.linalg.eigh(basis.T @ image)
        values, mixed = values[::-1][:k], mixed[:, ::-1][:, :k]
        # What a vector of the basis leaves when multiplied: without another product of the rows.
        residuals = image @ mixed - basis @ (mixed * values)
        if np.linalg.norm(residuals, axis=0).max() <= tolerance * values[0]:
            break
        block = images[-1]
        # Twice is enough: the first leaves the rounding of a cancellation.
        for known in blocks * 2:
            block = block - known @ (known.T @ block)
        blocks.append(np.linalg.qr(block)[0])
    else:
        return None
    if np.abs(basis.T @ basis - np.eye(basis.shape[1])).max() > _ORTHONORMAL[rows.dtype.type]:
        return None  # the rows span less than the basis, of which the rest is rounding
    return np.asarray(basis @ mixed)
