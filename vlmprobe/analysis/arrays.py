"""Converts stored hidden states to numbers; NumPy has no bfloat16, so those are stored as bits."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["to_float32"]


def to_float32(array: np.ndarray[Any, Any], dtype: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return states of any shape as float32, without loss.

    Args:
        array: float32 or float16 values, or for ``bfloat16`` their bits as uint16.
        dtype: what the values are: ``float32``, ``float16`` or ``bfloat16``.

    Raises:
        ValueError: the dtype is not one of these, or the array does not hold it.
    """
    stored_as = {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16}
    if dtype not in stored_as:
        raise ValueError(f"unknown dtype {dtype!r}; known: {', '.join(stored_as)}")
    if array.dtype != stored_as[dtype]:
        raise ValueError(f"{dtype} states are stored as {np.dtype(stored_as[dtype])}, not {array.dtype}")
    if dtype == "bfloat16":
        # bfloat16 is the upper half of a float32.
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32, copy=False)
