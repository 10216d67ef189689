"""Turns estimates and their resamples into metrics, with one rule for versions, intervals and seeds."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan, nan
from typing import TYPE_CHECKING

from vlmprobe.analysis.entries import Interval
from vlmprobe.analysis.resampling import percentile_intervals
from vlmprobe.analysis.results import Metric

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vlmprobe.analysis.catalog import Entry
    from vlmprobe.analysis.deltas import FloatArray
    from vlmprobe.analysis.inference import Estimate
    from vlmprobe.pairs.axes import Subset

__all__ = ["MetricMaker"]

NO_DATA = "too few vectors, or they cancel"
ONE_IMAGE = "fewer than two images"
TOO_FEW_RESAMPLES = "fewer than half of the resamples define it"
NOT_COVERING = "resamples of this value spread around a biased one"


@dataclass(frozen=True, slots=True)
class MetricMaker:
    """Makes the metrics of one layer and subset."""

    subset: Subset
    layer: int
    seed: int
    """The seed of the bootstrap and the null."""

    def metric(
        self,
        entry: Entry,
        target: str,
        value: float,
        n: int,
        *,
        std: float | None = None,
        interval: tuple[float, float] | None = None,
        p_value: float | None = None,
        seed: int | None = None,
        n_images: int | None = None,
        method: Interval | None = None,
        reason: str | None = None,
    ) -> Metric:
        """Return one metric; without an interval, its bounds are None."""
        low, high = interval or (None, None)
        # Plain text, since database drivers treat enums differently.
        where = str(self.subset), target, self.layer
        how = n_images, method and method.value, reason
        return Metric(entry.name, entry.version, *where, value, std, n, low, high, p_value, seed, *how)

    def estimated(self, entry: Entry, target: str, estimate: Estimate, n: int) -> Metric:
        """Return the metric of a jackknife estimate; ``reason`` says why it, or its interval, is missing."""
        low, high = estimate.ci_low, estimate.ci_high
        return self.metric(
            entry,
            target,
            nan if estimate.value is None else estimate.value,
            n,
            interval=None if low is None or high is None else (low, high),
            n_images=estimate.n_images,
            method=Interval.JACKKNIFE,
            reason=estimate.reason or estimate.note or None,
        )

    def metrics(
        self,
        entry: Entry,
        targets: Sequence[str],
        values: FloatArray,
        n: Sequence[int],
        n_images: Sequence[int],
        *,
        std: Sequence[float | None] | None = None,
        p_values: Sequence[float | None] | None = None,
    ) -> Iterator[Metric]:
        """Reduce each target's estimate and resamples to a metric with its interval.

        The interval is None without resamples, and where one of this metric would not cover (``Entry.interval_of``).
        It is NaN where the estimate is, and where the vectors come from fewer than two images: resampling one image
        shows no spread.

        Args:
            entry: the metric.
            targets: K of them.
            values: (1 + B, K) values; row 0 is the estimate, the rest are resamples.
            n: K numbers of vectors.
            n_images: K numbers of images that the vectors come from.
            std: K standard deviations; None where the definition has none.
            p_values: K of them; None where the definition has none.
        """
        resampled = len(values) > 1
        intervals = percentile_intervals(values[1:]) if resampled else [None] * len(targets)
        for place, (target, interval) in enumerate(zip(targets, intervals, strict=True)):
            value, p_value = float(values[0, place]), None if p_values is None else p_values[place]
            method = entry.interval_of(target, n[place], n_images[place])
            covers = method is not Interval.NOT_COVERING
            reason = _why_none(value, n_images[place], interval if covers else None)
            if not covers:
                reason = reason or NOT_COVERING
            if not covers or not resampled:
                interval = None
            elif reason:
                interval = (nan, nan)
            yield self.metric(
                entry,
                target,
                value,
                n[place],
                std=None if std is None else std[place],
                interval=interval,
                p_value=p_value,
                seed=self.seed if interval or p_value is not None else None,
                n_images=n_images[place],
                method=method if resampled or not covers else None,
                reason=reason or None,
            )


def _why_none(value: float, n_images: int, interval: tuple[float, float] | None) -> str:
    """Say why a value, or its resampled interval, is missing; an empty text where it is not."""
    if isnan(value):
        return NO_DATA
    if interval is None:
        return ""
    if n_images < 2:
        return ONE_IMAGE
    return TOO_FEW_RESAMPLES if isnan(interval[0]) else ""
