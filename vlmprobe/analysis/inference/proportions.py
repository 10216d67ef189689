"""Shares and means over pairs that belong to images: intervals, paired differences and their tests."""

from __future__ import annotations

from math import isfinite, nan, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import bdtr

from vlmprobe.analysis.inference.estimate import Estimate, two_sided_p, upper_quantile
from vlmprobe.analysis.inference.jackknife import NO_VALUE, Scale, Statistic

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import BoolArray, FloatArray, IntArray

__all__ = [
    "FEW_LARGE_IMAGES",
    "clustered_mean",
    "effective_wilson",
    "exact_mcnemar",
    "mean_change",
    "paired_difference",
    "paired_p_value",
    "share_gap",
]

#: Images that count as many, if they were equally large, below which an interval does not cover.
MIN_EQUIVALENT_IMAGES = 5
FEW_LARGE_IMAGES = (
    f"a few images hold most pairs: fewer than {MIN_EQUIVALENT_IMAGES} equally large ones' worth"
)


def effective_wilson(correct: Sequence[bool] | BoolArray, images: Sequence[str]) -> Estimate:
    """Return a share with Wilson's interval at the effective number of pairs.

    With k_g right of n_g pairs in image g, p the share and G images::

        deff = max(1, [G / (G - 1) sum_g (k_g - p n_g)^2 / n^2] / [p (1 - p) / n])

    Wilson's formula (JASA 22, 1927) is used with n / deff for n and t_{G - 1} for z; at a share of 0 or 1, which shows
    no spread, with G for n. Pairs that are copies of each other do not narrow it.

    Args:
        correct: n flags.
        images: n image names or hashes.
    """
    right = np.asarray(correct, dtype=bool)
    sizes, hits = _sums(right.astype(np.float64), images)
    n, n_images = float(sizes.sum()), len(sizes)
    if n_images == 0:
        return Estimate(None, 0, reason=NO_VALUE)
    share = float(hits.sum()) / n
    if _equivalent_images(sizes) < MIN_EQUIVALENT_IMAGES:
        return Estimate(share, n_images, reason=FEW_LARGE_IMAGES)
    variance = share * (1 - share) / n
    if variance > 0:
        clustered = n_images / (n_images - 1) * float(np.square(hits - share * sizes).sum()) / n**2
        effective = n / max(1.0, clustered / variance)
    else:
        effective = float(n_images)
    squared = upper_quantile(n_images - 1) ** 2
    middle = (share * effective + squared / 2) / (effective + squared)
    half = sqrt(squared * (share * (1 - share) * effective + squared / 4)) / (effective + squared)
    return Estimate(
        share,
        n_images,
        se=sqrt(share * (1 - share) / effective),
        # Rounding must not lead outside [0, 1], nor past the share.
        ci_low=min(share, max(0.0, middle - half)),
        ci_high=max(share, min(1.0, middle + half)),
    )


def share_gap(
    correct: Sequence[bool] | BoolArray, first: Sequence[bool] | BoolArray, images: Sequence[str]
) -> Estimate:
    """Return the share right of the flagged pairs less that of the others, with an interval by images.

    The bounds of the two shares are those of ``effective_wilson``; their distances from the shares are squared and
    added, less what the shares have in common (R. G. Newcombe, Statistics in Medicine 17, 1998, methods 10 of both
    papers). What they have in common is the correlation of their sums over images that have pairs of both. Unlike a t
    interval this one has a width also where all pairs of one kind are right.

    Args:
        correct: n flags.
        first: n flags, which pairs are of the first kind.
        images: n image names or hashes.
    """
    right, flags = np.asarray(correct, dtype=bool), np.asarray(first, dtype=bool)
    names = np.asarray(images, dtype=np.str_)
    one, other = (effective_wilson(right[kind].tolist(), names[kind].tolist()) for kind in (flags, ~flags))
    n_images = min(one.n_images, other.n_images)
    if one.value is None or other.value is None:
        return Estimate(None, n_images, reason=NO_VALUE)
    value = one.value - other.value
    if one.ci_low is None or one.ci_high is None or other.ci_low is None or other.ci_high is None:
        return Estimate(value, n_images, reason=one.reason or other.reason)
    shared = _shared(right, flags, names)
    below, above = (
        sqrt(max(0.0, a * a + b * b - 2 * shared * a * b))
        for a, b in (
            (one.value - one.ci_low, other.ci_high - other.value),
            (one.ci_high - one.value, other.value - other.ci_low),
        )
    )
    return Estimate(
        value,
        n_images,
        se=_root_of_sum(one.se, other.se, shared),
        ci_low=max(-1.0, value - below),
        ci_high=min(1.0, value + above),
    )


def clustered_mean(
    values: npt.NDArray[np.floating], images: Sequence[str] | npt.NDArray[Any], *, scale: Scale = Scale.PLAIN
) -> Statistic:
    """Estimate a mean over pairs, with the jackknife over images.

    Args:
        values: n numbers.
        images: n image names or hashes, or their numbers.
        scale: ``Scale.POSITIVE`` for lengths and their ratios.

    Returns:
        A statistic over the images in the order of their names, as ``Layout`` has them.
    """
    sizes, sums = _sums(np.asarray(values, dtype=np.float64), images)
    n_images, n, total = len(sizes), float(sizes.sum()), float(sums.sum())
    few = n_images > 0 and _equivalent_images(sizes) < MIN_EQUIVALENT_IMAGES
    rest = n - sizes
    return Statistic(
        value=total / n if n_images else nan,
        leave_outs=np.divide(total - sums, rest, out=np.full(n_images, nan), where=rest > 0),
        members=np.ones(n_images, dtype=bool),
        n_images=n_images,
        scale=scale,
        reason=FEW_LARGE_IMAGES if few else "",
    )


def paired_difference(
    before: Sequence[bool] | BoolArray, after: Sequence[bool] | BoolArray, images: Sequence[str]
) -> Estimate:
    """Return the difference of two shares on the same pairs, after minus before, with a t interval over images.

    se^2 = G / (G - 1) sum_g (s_g - m n_g)^2 / n^2, with s_g the gains less the losses of image g and m the difference
    (Miller, arXiv 2411.00640, with the factor for few images). The interval counts two more pairs, of which half a pair
    gained and half a pair lost: few pairs change, and a spread of few is too small (Agresti and Min, Statistics in
    Medicine 24, 2005). So there is an interval also where no pair changed. ``se`` is that of the interval.

    Args:
        before: n flags.
        after: n flags, of the same pairs.
        images: n image names or hashes.

    Raises:
        ValueError: the lengths differ.
    """
    return mean_change(_change(before, after), images)[0]


def mean_change(change: npt.NDArray[np.floating], images: Sequence[str]) -> tuple[Estimate, float | None]:
    """Return the mean of changes between -1 and 1, with the interval of :func:`paired_difference`, and its t test.

    The two-sided p is that of the interval, so that there is one also where all pairs changed alike.

    Args:
        change: n numbers, 1 and -1 the largest changes that a pair can make.
        images: n image names or hashes.
    """
    sizes, sums = _sums(np.asarray(change, dtype=np.float64), images)
    n_images = len(sizes)
    if n_images == 0:
        return Estimate(None, 0, reason=NO_VALUE), None
    value = float(sums.sum() / sizes.sum())
    if _equivalent_images(sizes) < MIN_EQUIVALENT_IMAGES:
        return Estimate(value, n_images, reason=FEW_LARGE_IMAGES), None
    n = float(sizes.sum())
    middle = float(sums.sum()) / (n + 2)
    clustered = n_images / (n_images - 1) * float(np.square(sums - value * sizes).sum())
    alone = float(np.square(change - value).sum())
    # The added pairs weigh as much as a pair of these images does.
    inflation = max(1.0, clustered / alone) if alone > 0 else n / n_images
    se = sqrt(clustered + inflation) / (n + 2)
    half = upper_quantile(n_images - 1) * se
    estimate = Estimate(value, n_images, se, max(-1.0, middle - half), min(1.0, middle + half))
    return estimate, two_sided_p(middle / se, n_images - 1)


def paired_p_value(
    before: Sequence[bool] | BoolArray, after: Sequence[bool] | BoolArray, images: Sequence[str]
) -> float | None:
    """Test whether two shares on the same pairs are equal, two-sided.

    Exact McNemar where each image has one pair, clustered t where images have several. Where all images change alike
    there is no spread for a t: then it is the sign test over images, exact like McNemar's. None where few images hold
    most pairs.

    Raises:
        ValueError: the lengths differ.
    """
    change = _change(before, after)
    sizes, sums = _sums(change, images)
    if len(sizes) == 0:
        return None
    if sizes.max() == 1:
        return exact_mcnemar(int((change > 0).sum()), int((change < 0).sum()))
    if _equivalent_images(sizes) < MIN_EQUIVALENT_IMAGES:
        return None
    mean = float(sums.sum() / sizes.sum())
    se = _clustered_se(mean, sums, sizes)
    if se > 0:
        return two_sided_p(mean / se, len(sizes) - 1)
    return 1.0 if mean == 0 else exact_mcnemar(int((sums > 0).sum()), int((sums < 0).sum()))


def exact_mcnemar(gained: int, lost: int) -> float:
    """Return the two-sided exact p of gains against losses: twice the smaller tail of Binomial(gained + lost, 1/2)."""
    n = gained + lost
    return min(1.0, 2.0 * float(bdtr(min(gained, lost), n, 0.5))) if n else 1.0


def _shared(correct: BoolArray, flags: BoolArray, images: npt.NDArray[np.str_]) -> float:
    """Return the correlation of the flagged pairs' share and the others', over images."""
    _, image_of = np.unique(images, return_inverse=True)
    parts = []
    for kind in (flags, ~flags):
        centered = np.where(kind, correct - correct[kind].mean(), 0.0)
        parts.append(np.bincount(image_of, weights=centered))
    size = sqrt(float(parts[0] @ parts[0]) * float(parts[1] @ parts[1]))
    return float(parts[0] @ parts[1]) / size if size > 0 else 0.0


def _root_of_sum(first: float | None, second: float | None, shared: float) -> float | None:
    if first is None or second is None:
        return None
    return sqrt(max(0.0, first**2 + second**2 - 2 * shared * first * second))


def _change(before: Sequence[bool] | BoolArray, after: Sequence[bool] | BoolArray) -> FloatArray:
    first, second = (np.asarray(flags, dtype=bool).astype(np.float64) for flags in (before, after))
    if len(first) != len(second):
        raise ValueError(f"a paired difference needs the same pairs, got {len(first)} and {len(second)}")
    return second - first


def _sums(values: FloatArray, images: Sequence[str] | npt.NDArray[Any]) -> tuple[FloatArray, FloatArray]:
    """Return the pairs and the sum of each image."""
    if len(values) != len(images):
        raise ValueError(f"{len(values)} pairs need one image each, got {len(images)}")
    _, image_of = np.unique(np.asarray(images), return_inverse=True)
    place: IntArray = image_of
    return np.bincount(place).astype(np.float64), np.bincount(place, weights=values).astype(np.float64)


def _equivalent_images(sizes: FloatArray) -> float:
    return float(sizes.sum() ** 2 / np.square(sizes).sum())


def _clustered_se(mean: float, sums: FloatArray, sizes: FloatArray) -> float:
    n_images = len(sizes)
    if n_images < 2 or not isfinite(mean):
        return nan
    return sqrt(n_images / (n_images - 1) * float(np.square(sums - mean * sizes).sum())) / float(sizes.sum())
