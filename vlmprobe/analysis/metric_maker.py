"""Turns estimates and their resamples into metrics, with one rule for versions, intervals and seeds."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan, nan
from typing import TYPE_CHECKING

from vlmprobe.analysis.resampling import percentile_intervals
from vlmprobe.analysis.results import Metric

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vlmprobe.analysis.catalog import Entry
    from vlmprobe.analysis.deltas import FloatArray
    from vlmprobe.pairs.axes import Subset

__all__ = ["MetricMaker"]


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
    ) -> Metric:
        """Return one metric; without an interval, its bounds are None."""
        low, high = interval or (None, None)
        # Plain text, since database drivers treat enums differently.
        where = str(self.subset), target, self.layer
        return Metric(entry.name, entry.version, *where, value, std, n, low, high, p_value, seed)

    def metrics(
        self,
        entry: Entry,
        targets: Sequence[str],
        values: FloatArray,
        n: Sequence[int],
        n_images: Sequence[int],
        *,
        std: Sequence[float | None] | None = None,
        p_values: Sequence[float] | None = None,
    ) -> Iterator[Metric]:
        """Reduce each target's estimate and resamples to a metric with its interval.

        The interval is None without resamples. It is NaN where the estimate is, and where the vectors come from fewer
        than two images: resampling one image shows no spread.

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
            value = float(values[0, place])
            yield self.metric(
                entry,
                target,
                value,
                n[place],
                std=None if std is None else std[place],
                interval=(nan, nan) if interval and (isnan(value) or n_images[place] < 2) else interval,
                p_value=None if p_values is None else p_values[place],
                seed=self.seed if resampled or p_values is not None else None,
            )
