"""Which layer to read: the shortlist's best, for the axes that are there.

The published criteria (:mod:`vlmprobe.analysis.layer_choice`) shortlist layers of any run, also where all coherence is
noise. No layer is recommended where no axis is resolved.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite, nan
from statistics import median
from typing import TYPE_CHECKING

from vlmprobe.analysis.catalog import (
    AXIS_TEST,
    VD_EI_CORRECTED,
    VD_EI_HIGHEST,
    VD_EI_LOWEST,
    VD_EI_MEDIAN,
)
from vlmprobe.analysis.inference import holm
from vlmprobe.analysis.layer_choice import candidates_of
from vlmprobe.analysis.results import Metric
from vlmprobe.pairs.axes import SPACE, Subset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.pairs.axes import AxisSet

__all__ = ["NO_AXIS", "Recommendation", "range_of_angles", "recommend"]

#: Of the axis tests after Holm's rule.
_LEVEL = 0.05
NO_AXIS = "no axis is resolved (not evidence of none)"
_LATE = "every layer near a peak is among the model's last ones"
_OVER_RANGE = "values of layers"


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A layer, and the axes that it holds for; ``dataclasses.asdict`` gives what ``results_json`` keeps."""

    layer: int | None
    axes: tuple[str, ...]
    """Those that are resolved: Holm's rule over the axes of the run leaves their test at .05 or below."""
    candidate_range: tuple[int, ...]
    """Layers near the peak of one of these axes, as of ``LayerCandidates``."""
    p_values: dict[str, float | None]
    """Of each axis after Holm's rule; None where it could not be tested."""
    reason: str
    """Why no layer is recommended; empty where one is."""


def recommend(
    metrics: Sequence[Metric], n_layers: int | None, subset: Subset = Subset.ALL, axes: AxisSet = SPACE
) -> Recommendation:
    """Recommend a layer by the published criteria, over the axes that are resolved.

    An axis is resolved if its ``axis_test`` is at most .05 after Holm's rule over the axes of this run and subset. The
    test counts only layers in which the lower jackknife bound of the axis's squared length is above 0.

    Args:
        metrics: of the run, ``axis_test`` among them.
        n_layers: decoder layers of the model; None leaves no late layer out.
        subset: which pairs.
        axes: the set that the metrics are of.
    """
    found = {
        metric.target: metric.p_value
        for metric in metrics
        if metric.name == AXIS_TEST.name and metric.subset == subset
    }
    names = [str(axis) for axis in axes]
    adjusted = dict(zip(names, holm([found.get(name) for name in names]), strict=True))
    there = tuple(name for name, p_value in adjusted.items() if p_value is not None and p_value <= _LEVEL)
    if not there:
        return Recommendation(None, (), (), adjusted, NO_AXIS)
    of_these = [metric for metric in metrics if metric.target in there or metric.target not in names]
    candidates = candidates_of(of_these, n_layers, subset, axes)
    reason = "" if candidates.recommended is not None else _LATE
    return Recommendation(candidates.recommended, there, candidates.candidate_range, adjusted, reason)


def range_of_angles(
    metrics: Sequence[Metric],
    found: Recommendation,
    subset: Subset = Subset.ALL,
    axes: AxisSet = SPACE,
) -> list[Metric]:
    """Return the lowest, the median and the highest ``vd_ei.corrected`` over the candidate range, without intervals.

    They say how far VD-EI depends on the layer that was chosen. ``n`` and ``n_images`` are those of the layers.
    """
    layers, rows = found.candidate_range, []
    for target in VD_EI_CORRECTED.targets(axes):
        of_layers = [
            metric
            for metric in metrics
            if (metric.name, metric.subset, metric.target) == (VD_EI_CORRECTED.name, subset, target)
        ]
        inside = [metric for metric in of_layers if metric.layer in layers]
        values = [metric.value for metric in inside if isfinite(metric.value)]
        some = next(iter(inside or of_layers), None)
        for entry, reduce in ((VD_EI_LOWEST, min), (VD_EI_MEDIAN, median), (VD_EI_HIGHEST, max)):
            row = Metric(entry.name, entry.version, str(subset), target, -1, nan, None, some.n if some else 0)
            rows.append(
                replace(
                    row,
                    value=float(reduce(values)) if values else nan,
                    n_images=some.n_images if some else None,
                    method=_OVER_RANGE,
                    reason=_why(len(values), found),
                )
            )
    return rows


def _why(n_values: int, found: Recommendation) -> str:
    n_layers = len(found.candidate_range)
    if not n_layers:
        return found.reason
    if not n_values:
        return f"none of the {n_layers} layers worth reading has a value"
    return f"no interval: over {n_values} of the {n_layers} layers worth reading"
