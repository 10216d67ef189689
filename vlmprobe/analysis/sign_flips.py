"""A null of no shared direction: the sign of each image's share of a statistic is a coin toss.

Quads about one image are not independent, so they are flipped together.
"""

from __future__ import annotations

from math import isnan, nan
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import FloatArray

__all__ = ["random_signs", "sign_flip_p_value"]

#: The same signs summed in another order differ by rounding, and are as extreme as the data all the same.
_ROUNDING = 1e-12


def random_signs(images: Sequence[str], n_flips: int, seed: int) -> npt.NDArray[np.int8]:
    """Draw one fair sign per image; everything about one image shares it.

    The same seed and the same images give the same signs, so one call serves every layer of a run. The order
    of the quads does not matter.

    Args:
        images: N image names or hashes, one per quad.
        n_flips: B.
        seed: of a PCG64 generator.

    Returns:
        (B, N) signs, +1 or -1.
    """
    names, image_of_quad = np.unique(np.asarray(images, dtype=np.str_), return_inverse=True)
    rng = np.random.Generator(np.random.PCG64(seed))
    drawn = rng.integers(2, size=(n_flips, len(names)), dtype=np.int8) * np.int8(2) - np.int8(1)
    return drawn[:, image_of_quad]


def sign_flip_p_value(observed: float, flipped: FloatArray) -> float:
    """Compare a statistic with its values under random signs, two-sided.

    p = (1 + #{|T_b| >= |T|}) / (B + 1), of which the smallest value is 1 / (B + 1) (Phipson and Smyth 2010).

    Args:
        observed: T.
        flipped: (B,) values T_b.

    Returns:
        p in (0, 1]; NaN if T is NaN.
    """
    if isnan(observed):
        return nan
    less_extreme = np.abs(flipped) < abs(observed) * (1 - _ROUNDING)
    return (1 + int((~less_extreme).sum())) / (len(flipped) + 1)
