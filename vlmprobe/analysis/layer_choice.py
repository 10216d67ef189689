"""Which layers to look at first: those where some axis is nearly as coherent as it ever gets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite, nan
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.analysis.catalog import (
    AXIS_COHERENCE,
    AXIS_COHERENCE_PEAK,
    AXIS_COHERENCE_PEAK_LAYER,
    VD_EI_POOLED,
)
from vlmprobe.analysis.results import Metric
from vlmprobe.pairs.axes import DEPTH, HEIGHT, SPACE, Subset

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmprobe.pairs.axes import AxisSet

__all__ = [
    "LayerCandidates",
    "candidates_of",
    "layer_candidates",
    "peaks",
    "representative_layers",
]

NO_INTERVAL_OF_PEAK = "the interval of the layer does not know that the highest value was looked for"
#: Share of an axis's peak coherence from which a layer counts as near it.
_NEAR_PEAK = 0.85
#: Share of the layers that come before those that specialize in output.
_NOT_LATE = 0.93
#: Layers on either side that the local spread of VD-EI looks at.
_NEIGHBOURS = 3


@dataclass(frozen=True, slots=True)
class LayerCandidates:
    """Layers worth analyzing, best first in ``top_k``, and how they were chosen.

    The fields are the keys of the old layout's ``recommend_layer.json``, in its order; ``dataclasses.asdict``
    gives that object.
    """

    candidate_range: tuple[int, ...]
    """Union of the plateaus up to the cutoff, ascending; any of them is a defensible choice."""
    top_k: tuple[int, ...]
    recommended: int | None
    criteria_applied: tuple[str, ...]
    """``candidate_range`` where the range is not empty, then ``not_late`` where a cutoff was applied."""
    warnings: tuple[str, ...]
    per_group_plateau: dict[str, tuple[int, ...]]
    """Per axis its layers near the peak, before the cutoff; empty for an axis with none."""
    vd_more_stable_than_median: tuple[int, ...]
    """Layers around which VD-EI varies no more than around the median layer; for information."""
    cutoff_layer: int | None
    """The last layer that is allowed."""


def layer_candidates(
    coherence: Mapping[str, Mapping[int, float]],
    vd_ei: Mapping[int, float],
    n_layers: int | None,
    *,
    axes: AxisSet = SPACE,
    top: int = 3,
) -> LayerCandidates:
    """Shortlist layers by the criteria of arXiv 2605.30161, appendix D.3 and D.4.

    1. The plateau of an axis: layers with coherence >= 0.85 of its peak. An axis without data or with a
       peak <= 0 is skipped, with a warning.
    2. Candidates: the union of the plateaus, up to layer round(0.93 ``n_layers``).
    3. ``top_k``: those with the largest minimum over the axes of coherence / peak (0 where an axis lacks the
       layer), ties to the deeper layer.

    Beside that, the local spread of VD-EI: the standard deviation (ddof 0) over a layer and the three
    layers with a value on either side, fewer at the ends; stable means no larger than the median of them.

    Args:
        coherence: per axis, layer -> ``axis_coherence``; NaN is no data.
        vd_ei: layer -> ``vd_ei.pooled`` of vertical/distance; NaN is no data. It gates nothing.
        n_layers: decoder layers of the model, stored or not; None applies no cutoff, with a warning.
        axes: the set that the coherence is of.
        top: how many layers ``top_k`` holds at most.

    Raises:
        ValueError: ``top`` or ``n_layers`` is below 1.
    """
    if top < 1 or (n_layers is not None and n_layers < 1):
        raise ValueError(f"top and n_layers must be at least 1, got {top} and {n_layers}")
    peaks: dict[str, float] = {}
    plateaus: dict[str, tuple[int, ...]] = {}
    warnings = []
    for axis in axes:
        peak, plateaus[str(axis)], problem = _plateau(coherence.get(axis, {}))
        if problem:
            warnings.append(f"{axis}: {problem}, axis skipped")
        else:
            peaks[axis] = peak

    cutoff = None if n_layers is None else round(_NOT_LATE * n_layers)
    if cutoff is None:
        warnings.append("number of layers unknown: late layers were not left out")
    union = {layer for plateau in plateaus.values() for layer in plateau}
    candidates = sorted(layer for layer in union if cutoff is None or layer <= cutoff)
    criteria: tuple[str, ...] = ()
    if candidates:
        criteria = ("candidate_range",) if cutoff is None else ("candidate_range", "not_late")
    elif union:
        warnings.append(f"no candidate: every layer near a peak comes after layer {cutoff}")

    def merit(layer: int) -> tuple[float, int]:
        return min(_share(coherence[axis].get(layer, nan), peak) for axis, peak in peaks.items()), layer

    best = tuple(sorted(candidates, key=merit, reverse=True)[:top])
    return LayerCandidates(
        candidate_range=tuple(candidates),
        top_k=best,
        recommended=best[0] if best else None,
        criteria_applied=criteria,
        warnings=tuple(warnings),
        per_group_plateau=plateaus,
        vd_more_stable_than_median=_stable(vd_ei),
        cutoff_layer=cutoff,
    )


def _plateau(coherence: Mapping[int, float]) -> tuple[float, tuple[int, ...], str]:
    """Return an axis's peak, the layers near it, and, if there are none, why."""
    values = {layer: value for layer, value in coherence.items() if isfinite(value)}
    if not values:
        return 0.0, (), "no coherence"
    peak = max(values.values())
    if peak <= 0:
        return peak, (), "peak coherence is not positive"
    return peak, tuple(sorted(layer for layer, value in values.items() if value >= _NEAR_PEAK * peak)), ""


def _share(value: float, peak: float) -> float:
    return value / peak if isfinite(value) else 0.0


def _stable(vd_ei: Mapping[int, float]) -> tuple[int, ...]:
    layers = sorted(layer for layer, value in vd_ei.items() if isfinite(value))
    values = np.array([vd_ei[layer] for layer in layers], dtype=np.float64)
    if not layers:
        return ()
    spreads = [
        float(np.std(values[max(0, i - _NEIGHBOURS) : i + _NEIGHBOURS + 1])) for i in range(len(layers))
    ]
    limit = float(np.median(spreads))
    return tuple(layer for layer, spread in zip(layers, spreads, strict=True) if spread <= limit)


def representative_layers(layers: int | Sequence[int], count: int = 5) -> tuple[int, ...]:
    """Pick layers that are evenly spread over depth; the first and the last are among them.

    With L layers, numbers i = 0 ... count - 1 pick the places i (L - 1) / (count - 1), halves rounded up; a count
    of 1 picks the last.

    Args:
        layers: how many there are, or their numbers where not all were kept.
        count: how many to pick; all, if there are no more.

    Returns:
        Layer numbers in ascending order, without repetition.

    Raises:
        ValueError: ``count`` is less than 1.
    """
    if count < 1:
        raise ValueError(f"at least one layer must be picked, not {count}")
    given = range(layers) if isinstance(layers, int) else sorted(set(layers))
    n = len(given)
    if n <= count:
        return tuple(given)
    if count == 1:
        return (given[-1],)
    gaps = count - 1
    return tuple(given[(2 * i * (n - 1) + gaps) // (2 * gaps)] for i in range(count))


def peaks(metrics: Sequence[Metric]) -> list[Metric]:
    """Reduce each axis's coherence over layers to its highest value.

    It has no interval: that of its layer does not know that the highest was looked for, and covered 42 to 87 % of the
    true values over 36 layers. ``axis_coherence.balanced.peak`` has one, and ``axis_coherence.split`` is not too high.
    """
    best: dict[tuple[str, str], Metric] = {}
    for metric in metrics:
        if metric.name != AXIS_COHERENCE.name or metric.value != metric.value:
            continue
        key = (metric.subset, metric.target)
        if key not in best or metric.value > best[key].value:
            best[key] = metric
    peak, where = AXIS_COHERENCE_PEAK, AXIS_COHERENCE_PEAK_LAYER
    reduced = []
    for each in best.values():
        layer = float(each.layer)
        reduced += [
            replace(
                each,
                name=peak.name,
                version=peak.version,
                layer=-1,
                ci_low=None,
                ci_high=None,
                seed=None,
                method=peak.interval.value,
                reason=NO_INTERVAL_OF_PEAK,
            ),
            Metric(where.name, where.version, each.subset, each.target, -1, layer, None, each.n),
        ]
    return reduced


def candidates_of(
    metrics: Sequence[Metric], n_layers: int | None, subset: Subset = Subset.ALL, axes: AxisSet = SPACE
) -> LayerCandidates:
    """Shortlist the layers worth analyzing."""
    coherence: dict[str, dict[int, float]] = {str(axis): {} for axis in axes}
    vd_ei: dict[int, float] = {}
    for metric in metrics:
        if metric.subset != subset or metric.layer < 0:
            continue
        if metric.name == AXIS_COHERENCE.name:
            coherence[metric.target][metric.layer] = metric.value
        elif (metric.name, metric.target) == (VD_EI_POOLED.name, f"{HEIGHT}/{DEPTH}"):
            vd_ei[metric.layer] = metric.value
    return layer_candidates(coherence, vd_ei, n_layers, axes=axes)
