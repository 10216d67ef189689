"""Deltas, their directions, and the sign that lets the two categories of an axis be pooled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.pairs.axes import SPACE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from vlmprobe.pairs.axes import AxisSet

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]
    BoolArray = npt.NDArray[np.bool_]

__all__ = [
    "NOT_FINITE",
    "axis_direction",
    "category_codes",
    "check_finite",
    "check_shapes",
    "deltas",
    "sign_corrected",
    "signs",
    "unit",
    "working_dtype",
]

#: The end of the error message for such states.
NOT_FINITE = (
    "hidden states that are not finite; extract them again in float32 or bfloat16 (float16 overflows)"
)


def deltas(orig: npt.NDArray[Any], swap: npt.NDArray[Any]) -> FloatArray:
    """Subtract in float64: h(swap) - h(orig).

    Args:
        orig: (N, D) hidden states of the original questions, any float dtype.
        swap: (N, D) hidden states of the swapped questions, row for row.

    Returns:
        (N, D) deltas.

    Raises:
        ValueError: the shapes differ or are not (N, D).
    """
    check_shapes(orig, swap)
    # Two bf16 or fp16 states are close together: a difference taken in their own dtype would be rounding.
    difference: FloatArray = np.subtract(swap, orig, dtype=np.float64)
    return difference


def check_shapes(orig: npt.NDArray[Any], swap: npt.NDArray[Any]) -> None:
    """Check that the states of both sides are (N, D) arrays of one shape.

    Raises:
        ValueError: the shapes differ or are not (N, D).
    """
    if np.ndim(orig) != 2 or np.shape(orig) != np.shape(swap):
        raise ValueError(
            f"orig and swap must be (N, D) arrays of one shape, got {np.shape(orig)} and {np.shape(swap)}"
        )


def check_finite(numbers: npt.NDArray[Any], what: str, *, layer: int) -> None:
    """Raise unless all numbers of a layer are finite.

    Args:
        numbers: (N, ...) of the states, one row a vector.
        what: the vectors, for the message.
        layer: the layer's number, for the message.

    Raises:
        ValueError: a number is not finite.
    """
    if n_broken := len(np.unique(np.nonzero(~np.isfinite(numbers))[0])):
        raise ValueError(f"layer {layer}: {n_broken} of {len(numbers)} {what} have {NOT_FINITE}")


def working_dtype(states: npt.NDArray[Any]) -> type[np.float32 | np.float64]:
    """Return the dtype for products of many vectors: float32, unless the states have a higher precision."""
    return np.float64 if states.dtype.itemsize > np.dtype(np.float32).itemsize else np.float32


def unit(vectors: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Scale each vector to length 1; a zero vector has no direction and is left out.

    Args:
        vectors: (N, D).

    Returns:
        The (M, D) unit vectors, and the (N,) mask of the M rows that were kept.
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    norms = np.linalg.norm(vectors, axis=1)
    kept = norms > 0
    return vectors[kept] / norms[kept, None], kept


def signs(categories: Sequence[str], axes: AxisSet = SPACE) -> FloatArray:
    """Return +1 for a pair of a canonical category (left, above, far) and -1 for one of its opposite.

    Returns:
        (N,) signs.

    Raises:
        ValueError: a name is no category.
    """
    sign_of = {name: 1.0 if axes.category(name).is_canonical else -1.0 for name in set(categories)}
    return np.array([sign_of[name] for name in categories])


def sign_corrected(deltas: FloatArray, categories: Sequence[str], axes: AxisSet = SPACE) -> FloatArray:
    """Negate the deltas of right, below and close, so that an axis's deltas point one way.

    They point from the canonical category to its opposite: the axis direction (+ = left, above, far) is their
    negative.

    Args:
        deltas: (N, D), or unit vectors of that shape.
        categories: N category names.
        axes: the set that they are of.

    Returns:
        (N, D).

    Raises:
        ValueError: a name is no category, or there are not N of them.
    """
    factors = signs(categories, axes)
    if len(factors) != len(deltas):
        raise ValueError(f"{len(deltas)} deltas need one category each, got {len(factors)}")
    return np.asarray(deltas, dtype=np.float64) * factors[:, None]


def axis_direction(
    orig: npt.NDArray[Any], swap: npt.NDArray[Any], categories: Sequence[str], axes: AxisSet = SPACE
) -> FloatArray | None:
    """Return the direction of an axis: the mean of its sign-corrected deltas, negated and scaled to length 1.

    It points to the canonical category (+ = left, above, far).

    Args:
        orig: (N, D) hidden states of the original questions of one axis, any float dtype.
        swap: (N, D) hidden states of the swapped questions, row for row.
        categories: N category names.
        axes: the set that they are of.

    Returns:
        (D,) unit vector; None where there is no direction: no pair, or a mean of zero.

    Raises:
        ValueError: the shapes differ, or a name is no category.
    """
    # The sum points where the mean does, and is zero without any pair.
    total = sign_corrected(deltas(orig, swap), categories, axes).sum(axis=0, keepdims=True)
    directions, _ = unit(-total)
    return directions[0] if len(directions) else None


def category_codes(categories: Sequence[str], axes: AxisSet = SPACE) -> IntArray:
    """Look up each category's place in its set.

    Returns:
        (N,) numbers; 0 (left) to 5 (close) in the built-in set.

    Raises:
        ValueError: a name is no category.
    """
    code_of = {name: axes.categories.index(axes.category(name)) for name in set(categories)}
    return np.array([code_of[name] for name in categories], dtype=np.int64)
