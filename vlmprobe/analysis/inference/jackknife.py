"""Delete-one-image jackknife: from a value without each image in turn to its standard error and interval.

Images are left out, not pairs, since pairs about one image are not independent. With G images and the values
theta_(h) without image h (Efron and Stein, Annals of Statistics 9, 1981)::

    se^2 = (G - 1) / G * sum_h (theta_(h) - mean theta_(h))^2

and the interval is value -+ t_{G' - 1} se, where G' is the number of images of the member that has the fewest. Mean
cosines and lengths have it on a scale of their own, with quantiles moved by the skewness of the leave-one-outs: near
the output deltas are mixtures, and few images hold the unlike ones. Nothing is drawn, so there is no seed; differences
and contrasts come from the same leave-one-outs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from math import inf, isfinite, nan, sqrt
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.analysis.inference.estimate import Estimate, two_sided_p, upper_quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.analysis.deltas import BoolArray, FloatArray

__all__ = [
    "NOT_DEFINED_WITHOUT",
    "NO_SPREAD",
    "NO_VALUE",
    "Scale",
    "Statistic",
    "contrast",
    "paired_t",
]

NO_VALUE = "too few pairs of different images"
NOT_DEFINED_WITHOUT = "not defined without one of the images"
NO_SPREAD = "the images do not differ"
#: A spread, or a distance from 1, that is only rounding.
_ROUNDING = 1e-12


class Scale(Enum):
    """The scale on which an interval is symmetric."""

    PLAIN = "plain"
    BELOW_ONE = "below one"
    """-log(1 - theta), for a mean cosine: its spread shrinks toward 1, and it may lie below 0."""
    POSITIVE = "positive"
    """log(theta), for a mean length: few images miss the long ones more often than the short ones."""

    def of(self, values: FloatArray) -> FloatArray:
        """Go to the scale; NaN where it does not reach."""
        if self is Scale.PLAIN:
            return values
        if self is Scale.POSITIVE:
            return np.log(np.where(values > 0, values, nan))
        gap = 1.0 - values
        return -np.log(np.where(gap > _ROUNDING, gap, nan))

    def back(self, value: float) -> float:
        """Come back from the scale."""
        if self is Scale.PLAIN:
            return value
        # A cosine is no smaller than -1, where the scale goes on.
        return float(np.exp(value)) if self is Scale.POSITIVE else max(-1.0, float(-np.expm1(-value)))


@dataclass(frozen=True, slots=True, eq=False)
class Statistic:
    """A value, and the same without each of the study's G images."""

    value: float
    """NaN = not defined."""
    leave_outs: FloatArray
    """(G,) values without image h; the value itself where the image does not contribute."""
    members: BoolArray
    """(G,) which images contribute."""
    n_images: int
    """Images of the member that has the fewest: its t quantile is used."""
    scale: Scale = Scale.PLAIN
    reason: str = ""
    """Why there may be no interval."""
    note: str = ""
    largest: float = inf
    """What the truth is no larger than in size; an interval that lies wholly beyond is moved until it reaches it."""

    def influences(self) -> FloatArray:
        """Return (G,) values on the scale whose squares sum to se^2; 0 for other images, NaN where one is undefined."""
        with np.errstate(invalid="ignore"):
            inside = self.scale.of(self.leave_outs[self.members])
            n = len(inside)
            found = np.zeros(len(self.leave_outs))
            if n > 1:
                found[self.members] = (inside.mean() - inside) * sqrt((n - 1) / n)
            return found

    def why_no_interval(self) -> str:
        """Say why there is no interval, or return an empty text."""
        if self.reason:
            return self.reason
        if not isfinite(self.value):
            return NO_VALUE
        # Spread in the value's own unit: on the other scale rounding grows without bound near 1.
        plain = self.leave_outs[self.members]
        if self.n_images < 2 or np.ptp(plain) <= _ROUNDING * max(1.0, abs(self.value)):
            return NO_SPREAD
        # Never a mean over the defined ones: the images without which it is undefined are those that matter most.
        if not np.isfinite(self.scale.of(np.append(plain, self.value))).all():
            return NOT_DEFINED_WITHOUT
        return ""

    def se(self) -> float:
        """Return the standard error in the value's own unit; NaN where there is no interval."""
        return nan if self.why_no_interval() else _root_sum(self.plain().influences())

    def plain(self) -> Statistic:
        """Return the statistic on the plain scale."""
        return replace(self, scale=Scale.PLAIN)

    def estimate(self) -> Estimate:
        """Return the value with its standard error and 95 % interval, or the reason why there is none."""
        value = self.value if isfinite(self.value) else None
        reason = self.why_no_interval()
        if reason:
            return Estimate(value, self.n_images, reason=reason, note=self.note)
        influences = self.influences()
        # Angles stay symmetric: a correction for skewness changes nothing in them that simulations can see.
        lean = 0.0 if self.scale is Scale.PLAIN else _acceleration(influences)
        quantile, se = upper_quantile(self.n_images - 1), _root_sum(influences)
        middle = float(self.scale.of(np.array(self.value)))
        low, high = (self.scale.back(middle + se * _skewed(each, lean)) for each in (-quantile, quantile))
        # A corrected cosine may pass 1 by more than its error: near 1 the error is no longer linear in the data.
        low, high = min(low, self.largest), max(high, -self.largest)
        own = se if self.scale is Scale.PLAIN else _root_sum(self.plain().influences())
        return Estimate(value, self.n_images, own, low, high, note=self.note)


def contrast(statistics: Sequence[Statistic], coefficients: Sequence[float]) -> Statistic:
    """Combine statistics of the same images linearly; (1, -1) is a paired difference.

    An image is left out of all of them at once, so what they share cancels from the error.

    Args:
        statistics: K, over the same G images in the same order.
        coefficients: K.

    Raises:
        ValueError: the lengths differ.
    """
    if len({len(each.leave_outs) for each in statistics}) != 1 or len(statistics) != len(coefficients):
        raise ValueError("a contrast needs one coefficient each, and statistics of the same images")
    pairs = list(zip(coefficients, statistics, strict=True))
    return Statistic(
        value=float(sum(factor * each.value for factor, each in pairs)),
        leave_outs=np.asarray(sum(factor * each.leave_outs for factor, each in pairs), dtype=np.float64),
        members=np.logical_or.reduce([each.members for each in statistics]),
        n_images=min(each.n_images for each in statistics),
        reason=next((each.reason for each in statistics if each.reason), ""),
    )


def paired_t(difference: Statistic) -> float | None:
    """Test a difference against 0: two-sided p of the paired jackknife t; None without an interval.

    Swapping the two checkpoints within an image is no valid test of geometry: it holds the mean over both fixed, of
    which equally coherent axes of different directions are no symmetric function. This one keeps its level there.
    """
    se = difference.se()
    return None if not isfinite(se) else two_sided_p(difference.value / se, difference.n_images - 1)


def _acceleration(influences: FloatArray) -> float:
    """Return a sixth of the skewness of a sum of influences (Efron, JASA 82, 1987); at most 1/6 in size."""
    return float((influences**3).sum()) / (6 * _root_sum(influences) ** 3)


def _skewed(quantile: float, acceleration: float) -> float:
    """Move a quantile as Efron's accelerated interval does, with the bias of the median that a mean has."""
    moved = acceleration + quantile
    return acceleration + moved / (1 - acceleration * moved)


def _root_sum(influences: FloatArray) -> float:
    return sqrt(float(influences @ influences))
