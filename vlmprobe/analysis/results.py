"""Results of the analysis: one number with its uncertainty, and the data that figures draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "FEWEST_IMAGES",
    "AccuracyPoint",
    "LayerCurve",
    "Metric",
    "PeakPoint",
    "PointCloud",
    "SimilarityMatrix",
]


#: Images below which a published coherence is stored but not shown: three pairs may agree by chance.
FEWEST_IMAGES = 10


@dataclass(frozen=True, slots=True)
class Metric:
    """One number: NaN where there is no data, never 0."""

    name: str
    version: int
    subset: str
    target: str
    layer: int
    """-1 = not per layer."""
    value: float
    std: float | None
    """Over pairs i < j (ddof 0) where the definition has one."""
    n: int
    ci_low: float | None = None
    ci_high: float | None = None
    p_value: float | None = None
    seed: int | None = None
    n_images: int | None = None
    """Images behind the value; of a value with several members, those of the member with the fewest."""
    method: str | None = None
    """How its interval was computed, or that an interval of this metric need not cover."""
    reason: str | None = None
    """Why the value, or its interval alone, is missing."""
    p_layers: float | None = None
    """p adjusted for having looked at several layers."""


@dataclass(frozen=True, slots=True)
class LayerCurve:
    """One metric of one scale over layers, ready to draw; equal lengths; NaN is a gap."""

    family: str
    scale: str
    samples_seen: int | None
    metric: str
    target: str
    subset: str
    layers: tuple[int, ...]
    values: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    n: int
    n_images: int | None = None
    """None = not counted."""

    @property
    def has_images(self) -> bool:
        """Whether there are ``FEWEST_IMAGES`` images; of a curve without their number, as many vectors."""
        return (self.n if self.n_images is None else self.n_images) >= FEWEST_IMAGES


@dataclass(frozen=True, slots=True)
class AccuracyPoint:
    """Accuracy of one scale on an axis, a category or ``overall``, with 95 % bounds; NaN = no data."""

    family: str
    scale: str
    samples_seen: int | None
    target: str
    n: int
    acc_orig: float
    acc_orig_low: float
    acc_orig_high: float
    acc_swap: float
    acc_swap_low: float
    acc_swap_high: float
    acc_both: float
    acc_both_low: float
    acc_both_high: float
    reliable: bool | None = None
    """For a category: whether each side is right at least half of the time; None without pairs."""
    n_images: int | None = None
    """Distinct images; None where the query does not say."""


@dataclass(frozen=True, slots=True)
class SimilarityMatrix:
    """Cosines of the mean deltas of C categories, in the order of their axes; NaN = no data."""

    family: str
    scale: str
    layer: int
    subset: str
    values: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class PeakPoint:
    """The largest value of one metric and target over one scale's layers, and where it is; NaN = no data."""

    family: str
    scale: str
    samples_seen: int | None
    metric: str
    target: str
    subset: str
    layer: int | None
    """None = no data."""
    value: float
    ci_low: float | None
    ci_high: float | None
    """None for coherence: the interval of its layer does not know that the largest was looked for."""
    n: int
    run_id: str = ""
    split: float | None = None
    """Read on either half of the images at the layer that the other half chose; not too high."""
    split_low: float | None = None
    split_high: float | None = None
    n_images: int | None = None
    """None = not counted."""

    @property
    def has_images(self) -> bool:
        """Whether there are ``FEWEST_IMAGES`` images; of a peak without their number, as many vectors."""
        return (self.n if self.n_images is None else self.n_images) >= FEWEST_IMAGES


@dataclass(frozen=True, slots=True, eq=False)
class PointCloud:
    """States or deltas of one layer on their first principal components, ready to draw."""

    family: str
    scale: str
    layer: int
    subset: str
    points: npt.NDArray[np.floating]
    """(N, K) coordinates, K >= 2, in the states' own unit."""
    labels: tuple[str, ...]
    """N category names."""
    explained: tuple[float, ...]
    """K shares of the variance in 0 ... 1; NaN = unknown."""
    sides: tuple[str, ...] = ()
    """N of orig, swap for states; () for deltas."""
