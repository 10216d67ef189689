"""Bootstrap over images: which pairs a resample holds, sums over it, and the interval that follows.

Pairs about one image are not independent, so images are drawn, not pairs. A resample is a row of
multiplicities; weighted sums stand in for copies of vectors. A row of ones is the data itself, so an estimate
and its interval come out of the same code, called once for each (:func:`apart`).
"""

from __future__ import annotations

from math import isnan, nan
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.groups import of_axes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import FloatArray

__all__ = [
    "apart",
    "bootstrap_weights",
    "grams_of_signed",
    "grams_of_sums",
    "percentile_interval",
    "percentile_intervals",
    "random_signs",
    "sign_flip_p_value",
]

_PERCENTILES = (2.5, 97.5)
#: The same signs summed in another order differ only by rounding and count as equally extreme.
_ROUNDING = 1e-12


def bootstrap_weights(images: Sequence[str], n_resamples: int, seed: int) -> npt.NDArray[np.int32]:
    """Draw images with replacement, as many as there are, and count how often each pair is in.

    All pairs of an image share its multiplicity. The same seed and the same pairs give the same weights, so
    one call serves every layer of a run (and pairs the layers' resamples). The order of the pairs does not
    matter.

    Args:
        images: N image names or hashes, one per pair.
        n_resamples: B.
        seed: of a PCG64 generator.

    Returns:
        (B, N) multiplicities.
    """
    names, image_of_pair = np.unique(np.asarray(images, dtype=np.str_), return_inverse=True)
    rng = np.random.Generator(np.random.PCG64(seed))
    weights = np.zeros((n_resamples, len(image_of_pair)), dtype=np.int32)
    if len(names) == 0:
        return weights
    for row in weights:
        row[:] = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))[image_of_pair]
    return weights


def apart(reduce: Callable[[npt.NDArray[Any]], FloatArray], weights: npt.NDArray[Any]) -> FloatArray:
    """Reduce the data, which is the first row of weights, separately from the resamples.

    A product of many rows may differ in its last bits from that of one row. Done separately, an estimate does
    not depend on the number of resamples.

    Args:
        reduce: takes (R, N) weights, R of 0 or more, and returns (R, ...) values.
        weights: (1 + B, N), of which the first row is all ones.

    Returns:
        (1 + B, ...) values.
    """
    # Copied, since rows of a larger array may be strided.
    return np.concatenate([reduce(np.ascontiguousarray(rows)) for rows in (weights[:1], weights[1:])])


def percentile_interval(resampled: FloatArray) -> tuple[float, float]:
    """Take the 2.5th and 97.5th percentile of a resampled value.

    Resamples in which the value is undefined (NaN: a category was not drawn) are left out. Where fewer than
    half are defined the rest say little about the spread, and the interval is NaN.

    Args:
        resampled: (B,) values.
    """
    defined = resampled[~np.isnan(resampled)]
    if len(defined) == 0 or 2 * len(defined) < len(resampled):
        return nan, nan
    low, high = np.percentile(defined, _PERCENTILES)
    return float(low), float(high)


def percentile_intervals(resampled: FloatArray) -> list[tuple[float, float]]:
    """Take ``percentile_interval`` of each column of (B, K) values."""
    if resampled.size and not np.isnan(resampled).any():
        lows, highs = np.percentile(resampled, _PERCENTILES, axis=0).tolist()
        return list(zip(lows, highs, strict=True))
    return [percentile_interval(column) for column in resampled.T]


def grams_of_sums(sums: FloatArray) -> FloatArray:
    """Take inner products of sums of vectors per category and, sign-corrected, per axis.

    Args:
        sums: (R, C, D) sums over the categories, axis by axis, not sign-corrected.

    Returns:
        (R, C + K, C + K) inner products: the C categories, then the K axes.
    """
    # Axis sums are formed before the product: taken from a C x C product they would lose the digits that canonical and
    # opposite have in common.
    n = sums.shape[1]
    signed = np.empty((len(sums), n + n // 2, sums.shape[2]), dtype=sums.dtype)
    signed[:, :n] = sums
    np.subtract(sums[:, ::2], sums[:, 1::2], out=signed[:, n:])
    grams: FloatArray = signed @ signed.transpose(0, 2, 1)
    return grams


def grams_of_signed(products: FloatArray) -> FloatArray:
    """Turn inner products of sign-corrected sums into those of ``grams_of_sums``, where only the products are known.

    Args:
        products: (R, C, C) inner products of the sums over the categories, sign-corrected.

    Returns:
        (R, C + K, C + K) inner products.
    """
    n = products.shape[-1]
    # The categories' sums, with their sign again, and the axes', as sums of sign-corrected ones.
    of_signed = np.vstack([np.diag(np.tile([1.0, -1.0], n // 2)), of_axes(n)])
    factors = np.kron(of_signed, of_signed)
    grams: FloatArray = (products.reshape(len(products), -1) @ factors.T).reshape(-1, *[len(of_signed)] * 2)
    return grams


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
