"""How accuracy, coherence and the size of VD-EI change over several checkpoints of known training: one slope each.

A slope is a weighted sum of the checkpoints' values, so its interval comes from the same leave-one-outs. It is about
these checkpoints: how another training would have gone is not in it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.analysis import catalog
from vlmprobe.analysis.comparison import are_alike, no_pair
from vlmprobe.analysis.difference import CLUSTERED_T, PAIRED_T, Difference
from vlmprobe.analysis.inference import Contrast, contrast, contrast_of_sizes, mean_change

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmprobe.analysis.comparison import Geometry, SharedPairs
    from vlmprobe.analysis.deltas import BoolArray, FloatArray
    from vlmprobe.analysis.entries import Entry
    from vlmprobe.analysis.inference import Estimate

__all__ = ["accuracy_trend", "geometry_trend", "trend_coefficients"]


def trend_coefficients(samples_seen: Sequence[int]) -> FloatArray:
    """Return (K,) weights whose sum with K values is their least-squares slope on log10(samples + 1).

    Raises:
        ValueError: the checkpoints have seen the same amount.
    """
    amounts = np.log10(np.asarray(samples_seen, dtype=np.float64) + 1)
    centered = amounts - amounts.mean()
    spread = float(centered @ centered)
    if spread <= 0:
        raise ValueError("a trend needs checkpoints of different amounts of training")
    slopes: FloatArray = centered / spread
    return slopes


def accuracy_trend(
    answers: Sequence[BoolArray], samples_seen: Sequence[int], pairs: SharedPairs
) -> list[Difference]:
    """Return the slope of accuracy per tenfold training over these checkpoints, by target of accuracy."""
    weights = trend_coefficients(samples_seen)
    # What a pair can make at most: wrong at all checkpoints below the middle, right at those above.
    largest = float(weights[weights > 0].sum())
    # Of each pair its own slope: the mean of these is the slope of the means.
    slopes = weights @ np.stack(answers).astype(np.float64) / largest
    images, found = np.array(pairs.images, dtype=np.str_), []
    for target, inside in pairs.groups().items():
        mean, p_value = mean_change(slopes[inside], images[inside].tolist())
        estimate = _times(mean, largest)
        if not inside.any():
            estimate = replace(estimate, reason=no_pair(target))
        found.append(
            Difference(
                catalog.TREND_ACCURACY,
                target,
                estimate,
                p_value,
                CLUSTERED_T,
                int(inside.sum()),
                alike=are_alike([each[inside] for each in answers]),
            )
        )
    return found


def geometry_trend(
    readings: Sequence[Geometry], samples_seen: Sequence[int], counts: Mapping[str, int]
) -> list[Difference]:
    """Return the slopes of coherence and of the size of VD-EI per tenfold training over these checkpoints."""
    weights = trend_coefficients(samples_seen).tolist()
    found = [
        _slope(
            catalog.TREND_COHERENCE,
            target,
            Contrast((contrast([reading.coherence[target] for reading in readings], weights),)),
            counts[target],
        )
        for target in readings[0].coherence
    ]
    return found + [
        _slope(
            catalog.TREND_VD_EI_SIZE,
            target,
            contrast_of_sizes([reading.angles[target] for reading in readings], weights),
            counts[target],
        )
        for target in readings[0].angles
    ]


def _slope(entry: Entry, target: str, slope: Contrast, n: int) -> Difference:
    return Difference(entry, target, slope.estimate(), slope.p_value(), PAIRED_T, n)


def _times(estimate: Estimate, factor: float) -> Estimate:
    def times(value: float | None) -> float | None:
        return None if value is None else factor * value

    return replace(
        estimate,
        value=times(estimate.value),
        se=times(estimate.se),
        ci_low=times(estimate.ci_low),
        ci_high=times(estimate.ci_high),
    )
