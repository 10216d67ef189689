"""What analysis hands on: one number with its uncertainty, and what figures draw from such numbers."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AccuracyPoint", "LayerCurve", "Metric", "SimilarityMatrix"]


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


@dataclass(frozen=True, slots=True)
class AccuracyPoint:
    """Accuracy of one scale on one axis (or ``overall``), with Wilson 95 % bounds."""

    family: str
    scale: str
    samples_seen: int | None
    axis: str
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


@dataclass(frozen=True, slots=True)
class SimilarityMatrix:
    """Cosines of the mean deltas of the six categories, in the order of ``CATEGORIES``; NaN = no data."""

    family: str
    scale: str
    layer: int
    subset: str
    values: tuple[tuple[float, ...], ...]
