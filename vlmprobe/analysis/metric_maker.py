"""Turns estimates into metrics, with one rule for versions, intervals and seeds."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan, nan
from typing import TYPE_CHECKING

from vlmprobe.analysis.entries import Interval
from vlmprobe.analysis.results import Metric

if TYPE_CHECKING:
    from vlmprobe.analysis.catalog import Entry
    from vlmprobe.analysis.inference import Estimate
    from vlmprobe.pairs.axes import Subset

__all__ = ["MetricMaker"]

NO_DATA = "too few vectors, or they cancel"
NOT_COVERING = "noise biases this value, and an interval around it need not cover, so none is given"


@dataclass(frozen=True, slots=True)
class MetricMaker:
    """Makes the metrics of one layer and subset."""

    subset: Subset
    layer: int
    seed: int
    """Of whatever a p-value draws."""

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

    def published(
        self,
        entry: Entry,
        target: str,
        value: float,
        n: int,
        n_images: int,
        *,
        std: float | None = None,
        estimate: Estimate | None = None,
        p_value: float | None = None,
    ) -> Metric:
        """Return a metric whose value has a definition of its own, with the interval of an estimate of the same.

        The bounds are None where there is no estimate, where an interval of this metric need not cover
        (``Entry.interval_of``), and where the value is missing.

        Args:
            entry: the metric.
            target: one of its targets.
            value: by its definition; NaN without data.
            n: vectors.
            n_images: images that they come from.
            std: over pairs, where the definition has one.
            estimate: of the same quantity, by the jackknife over images; None = no interval is wanted.
            p_value: where the definition has one.
        """
        method = entry.interval_of(target, n, n_images)
        interval, reason = None, NO_DATA if isnan(value) else ""
        if method is Interval.NOT_COVERING:
            reason = reason or NOT_COVERING
        elif estimate is not None and not reason:
            reason = estimate.reason
            if estimate.ci_low is not None and estimate.ci_high is not None:
                interval = estimate.ci_low, estimate.ci_high
        return self.metric(
            entry,
            target,
            value,
            n,
            std=std,
            interval=interval,
            p_value=p_value,
            seed=None if p_value is None else self.seed,
            n_images=n_images,
            method=method if estimate is not None or method is Interval.NOT_COVERING else None,
            reason=reason or None,
        )
