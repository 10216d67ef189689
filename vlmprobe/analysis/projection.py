"""Principal components of states and of deltas: a view of where the categories lie."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.deltas import deltas
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
_CONVERGED = 1e-9
#: Share of the variance that rounding can leave in a direction that has none.
_NO_VARIANCE = 1e-13


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
    if np.ndim(orig) != 2 or np.shape(orig) != np.shape(swap):
        raise ValueError(
            f"orig and swap must be (N, D) arrays of one shape, got {np.shape(orig)} and {np.shape(swap)}"
        )
    names = _names(categories, len(orig))
    sides = (str(Side.ORIG),) * len(names) + (str(Side.SWAP),) * len(names)
    return Projection(*_principal(np.vstack([orig, swap]), n_components), names * 2, sides)


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
    return Projection(*_principal(difference, n_components), _names(categories, len(difference)), ())


def _names(categories: Sequence[str], n: int) -> tuple[str, ...]:
    if len(categories) != n:
        raise ValueError(f"{n} pairs need as many categories, got {len(categories)}")
    return tuple(str(parse_category(name)) for name in categories)


def _principal(vectors: npt.NDArray[Any], k: int) -> tuple[FloatArray, tuple[float, ...]]:
    """Return (N, k) coordinates and k shares of the variance; NaN for N < k + 1, D < k or no variance."""
    if k < 1:
        raise ValueError(f"a projection needs at least one component, got {k}")
    centred = np.array(vectors, dtype=np.float64)
    if not np.isfinite(centred).all():
        raise ValueError("hidden states are not finite; extract them again in float32 or bfloat16")
    n, dim = centred.shape
    undefined = np.full((n, k), nan), (nan,) * k
    if n < k + 1 or dim < k:
        return undefined
    length = float(np.abs(centred).max())
    centred -= centred.mean(axis=0)
    # What the subtraction of the mean leaves of equal vectors is rounding, no variance.
    if float(np.abs(centred).max()) <= 1e-14 * length:
        return undefined
    total = float(np.vdot(centred, centred))
    variances, vectors_of = _leading(centred if n <= dim else centred.T, k)
    if n <= dim:
        components = centred.T @ vectors_of
        components /= np.maximum(np.linalg.norm(components, axis=0), np.finfo(np.float64).tiny)
    else:
        components = vectors_of
    # Without variance a direction is rounding, and no coordinate along it means anything.
    flat = variances <= _NO_VARIANCE * total
    components, variances = np.where(flat, 0.0, components), np.where(flat, 0.0, variances)
    largest = components[np.abs(components).argmax(axis=0), np.arange(k)]
    points: FloatArray = centred @ (components * np.where(largest < 0, -1.0, 1.0))
    return points, tuple(float(variance) for variance in np.clip(variances / total, 0.0, 1.0))


def _leading(rows: FloatArray, k: int) -> tuple[FloatArray, FloatArray]:
    """Return the k largest eigenvalues and (M, k) eigenvectors of rows @ rows.T, of M <= L dimensions.

    Large ones by block Lanczos with full reorthogonalisation (Golub and Van Loan, Matrix Computations, 10.3)
    from a fixed start; where that has not converged, by all eigenvectors, as for small ones.
    """
    if len(rows) > _SMALL:
        found = _krylov(rows, k)
        if found is not None:
            return found
    all_values, all_vectors = np.linalg.eigh(rows @ rows.T)
    return all_values[::-1][:k], all_vectors[:, ::-1][:, :k]


def _krylov(rows: FloatArray, k: int) -> tuple[FloatArray, FloatArray] | None:
    """Do the block Lanczos of ``_leading``; None if it has not converged."""
    start = np.random.Generator(np.random.PCG64(0)).normal(size=(len(rows), max(_BLOCK, k + 5)))
    blocks = [np.linalg.qr(start)[0]]
    images: list[FloatArray] = []
    for _ in range(_STEPS):
        images.append(rows @ (rows.T @ blocks[-1]))
        basis, image = np.hstack(blocks), np.hstack(images)
        values, mixed = np.linalg.eigh(basis.T @ image)
        values, mixed = values[::-1][:k], mixed[:, ::-1][:, :k]
        # What a vector of the basis leaves when multiplied: without another product of the rows.
        residuals = image @ mixed - basis @ (mixed * values)
        if np.linalg.norm(residuals, axis=0).max() <= _CONVERGED * values[0]:
            break
        block = images[-1]
        # Twice is enough: the first leaves the rounding of a cancellation.
        for known in blocks * 2:
            block = block - known @ (known.T @ block)
        blocks.append(np.linalg.qr(block)[0])
    else:
        return None
    if np.abs(basis.T @ basis - np.eye(basis.shape[1])).max() > _CONVERGED:
        return None  # the rows span less than the basis, of which the rest is rounding
    return values, basis @ mixed
