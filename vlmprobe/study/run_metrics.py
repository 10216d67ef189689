"""Computes every metric of a run from its arrays: layer by layer, then reduced over layers."""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe import __version__
from vlmprobe.analysis import (
    AxisMetrics,
    LayerCandidates,
    LayerMetrics,
    Metric,
    alignment_metrics,
    bootstrap_weights,
    perspective_metrics,
    project_deltas,
    project_states,
    random_signs,
)
from vlmprobe.analysis.axis_significance import AxisSignificance
from vlmprobe.analysis.catalog import CATALOG, INPUTS, LAYER_CANDIDATES, PCA, RECOMMENDED_LAYER
from vlmprobe.analysis.inference.layers import FIRST_DRAWS
from vlmprobe.analysis.layer_reading import LayerReadings
from vlmprobe.analysis.perspective_axes import PerspectiveAxes
from vlmprobe.analysis.side_by_side import side_by_side
from vlmprobe.pairs import DEPTH, SPACE, Subset

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vlmprobe.analysis.axis_metrics import AxesOfLayer
    from vlmprobe.analysis.layer_reading import ReadLayer
    from vlmprobe.analysis.recommendation import Recommendation
    from vlmprobe.pairs import AxisSet
    from vlmprobe.store.arrays import RunArrays

__all__ = ["candidates_result", "inputs_result", "recommendation_result", "run_metrics"]

BOOTSTRAP_SEED = 0
#: Seed of the quads' bootstrap and null; the published control also uses 42.
QUAD_SEED = 42
#: Seed of the permuted labels.
PERMUTATION_SEED = 0
N_RESAMPLES = 1000
N_FLIPS = 10_000
#: Memory for analyzing a layer, in copies of its float32 states: both sides, and the deltas in float64.
_COPIES = 4


def run_metrics(
    arrays: RunArrays, advance: Callable[[int], None]
) -> tuple[list[Metric], list[dict[str, Any]]]:
    """Compute the per-layer metrics of a run and its rows of ``results_json``, a few layers in memory at a time.

    Raises:
        ValueError: a hidden state is not finite.
    """
    job = _LayerJob(arrays)
    metrics: list[Metric] = []
    results: list[dict[str, Any]] = []
    resolved, coherence, halves = {}, {}, {}
    in_order = side_by_side(job, arrays.layers, bytes_each=arrays.layer_bytes * _COPIES)
    for layer, (of_layer, axes, read, kept) in zip(arrays.layers, in_order, strict=True):
        metrics += of_layer
        results += kept
        if axes and read:
            resolved[layer], coherence[layer], halves[layer] = axes.resolved, axes.coherence, read
        advance(1)
    if not resolved:
        return metrics, results
    over_layers, chosen = job.readings.over_layers(halves, coherence)
    results += chosen
    significance = AxisSignificance(
        arrays.categories,
        arrays.images,
        arrays.pair_ids,
        seed=PERMUTATION_SEED,
        both_correct=arrays.both_correct,
        axes=arrays.axis_set,
    )
    return significance(metrics, arrays.layer, resolved) + over_layers, results


class _LayerJob:
    """Computes the metrics of one layer after another; random draws that they share are made once."""

    def __init__(self, arrays: RunArrays) -> None:
        self._arrays = arrays
        # The same images for every layer, so that layers can be compared.
        self._weights = bootstrap_weights(arrays.images, N_RESAMPLES, BOOTSTRAP_SEED)
        self._metrics = LayerMetrics(
            arrays.categories,
            arrays.images,
            both_correct=arrays.both_correct,
            seed=BOOTSTRAP_SEED,
            weights=self._weights,
            axes=arrays.axis_set,
        )
        self._axis_metrics = AxisMetrics(
            arrays.categories,
            arrays.images,
            both_correct=arrays.both_correct,
            axes=arrays.axis_set,
        )
        self.readings = LayerReadings(
            arrays.categories,
            arrays.images,
            seed=PERMUTATION_SEED,
            both_correct=arrays.both_correct,
            axes=arrays.axis_set,
        )
        self._far_close = np.array([axis == DEPTH for axis in arrays.axes], dtype=bool)
        self._has_perspective = any(perspective is not None for perspective in arrays.perspectives)
        self._perspective_axes = (
            PerspectiveAxes(
                arrays.categories,
                arrays.perspectives,
                arrays.images,
                both_correct=arrays.both_correct,
                axes=arrays.axis_set,
            )
            if self._has_perspective
            else None
        )
        images = arrays.quads.images
        self._quad_weights = bootstrap_weights(images, N_RESAMPLES, QUAD_SEED) if images else None
        self._flips = random_signs(images, N_FLIPS, QUAD_SEED) if images else None

    def __call__(
        self, layer: int
    ) -> tuple[list[Metric], AxesOfLayer | None, ReadLayer | None, list[dict[str, Any]]]:
        """Return a layer's metrics, its axes and their halves, and its rows of ``results_json``."""
        arrays, right = self._arrays, self._arrays.both_correct
        metrics: list[Metric] = []
        results: list[dict[str, Any]] = []
        of_axes, read = None, None
        states = arrays.layer(layer)
        if len(states):
            metrics += self._metrics(states[:, 0], states[:, 1], layer=layer)
            of_axes = self._axis_metrics(states[:, 0], states[:, 1], layer=layer)
            metrics += of_axes.metrics
            read = self.readings(states[:, 0], states[:, 1])
            results.append(explained_variance(states, arrays.categories, layer, Subset.ALL, arrays.axis_set))
            of_right = _chosen(arrays.categories, right)
            results.append(
                explained_variance(states[right], of_right, layer, Subset.BOTH_CORRECT, arrays.axis_set)
            )
        if self._perspective_axes:
            metrics += self._perspective_axes(states[:, 0], states[:, 1], layer=layer)
            rows = self._far_close
            metrics += perspective_metrics(
                states[rows, 1] - states[rows, 0],
                _chosen(arrays.categories, rows),
                _chosen(arrays.perspectives, rows),
                _chosen(arrays.images, rows),
                layer=layer,
                both_correct=right[rows],
                seed=BOOTSTRAP_SEED,
                weights=self._weights[:, rows],
                axes=arrays.axis_set,
            )
        del states
        if arrays.quads.ids:
            vertical, distance = arrays.quad_deltas(layer)
            metrics += alignment_metrics(
                vertical,
                distance,
                arrays.quads.vertical_categories,
                arrays.quads.distance_categories,
                arrays.quads.images,
                layer=layer,
                both_correct=arrays.quads.both_correct,
                seed=QUAD_SEED,
                weights=self._quad_weights,
                flips=self._flips,
                axes=arrays.axis_set,
            )
        return metrics, of_axes, read, results


def explained_variance(
    states: Any, categories: Sequence[str], layer: int, subset: Subset, axes: AxisSet = SPACE
) -> dict[str, Any]:
    """Return the row of ``results_json`` that keeps a layer's explained variances; null for too few pairs.

    Args:
        states: (N, 2, D) states of the subset, orig then swap.
        categories: N category names.
        layer: the layer's number.
        subset: which pairs these are.
        axes: the set that the categories are of.
    """
    shares = {
        name: [
            share if isfinite(share) else None
            for share in project(states[:, 0], states[:, 1], categories, 3, axes).explained
        ]
        for name, project in (("states", project_states), ("deltas", project_deltas))
    }
    return {"name": PCA.name, "version": PCA.version, "subset": str(subset), "layer": layer, "value": shares}


def inputs_result(sha256: str) -> dict[str, Any]:
    """Return the row of ``results_json`` that says what a run's metrics were computed from, and how.

    While it is equal, computing them again gives the same numbers.

    Args:
        sha256: the hash of the run's pairs, answers and arrays; see :class:`vlmprobe.store.arrays.Inputs`.
    """
    value = {
        "sha256": sha256,
        "vlmprobe": __version__,
        "versions": {entry.name: entry.version for entry in CATALOG.values()},
        "seeds": {"pairs": BOOTSTRAP_SEED, "quads": QUAD_SEED, "permutations": PERMUTATION_SEED},
        "draws": {"bootstrap": N_RESAMPLES, "flips": N_FLIPS, "permutations": FIRST_DRAWS},
    }
    return {
        "name": INPUTS.name,
        "version": INPUTS.version,
        "subset": str(Subset.ALL),
        "layer": -1,
        "value": value,
    }


def candidates_result(candidates: LayerCandidates, subset: Subset) -> dict[str, Any]:
    """Return the row of ``results_json`` that holds the shortlist."""
    return {
        "name": LAYER_CANDIDATES.name,
        "version": LAYER_CANDIDATES.version,
        "subset": str(subset),
        "layer": -1,
        "value": asdict(candidates),
    }


def recommendation_result(recommendation: Recommendation, subset: Subset) -> dict[str, Any]:
    """Return the row of ``results_json`` that holds the recommended layer and the axes that it is for."""
    return {
        "name": RECOMMENDED_LAYER.name,
        "version": RECOMMENDED_LAYER.version,
        "subset": str(subset),
        "layer": -1,
        "value": asdict(recommendation),
    }


def _chosen(values: Sequence[Any], mask: np.ndarray[Any, np.dtype[np.bool_]]) -> list[Any]:
    return [value for value, keep in zip(values, mask, strict=True) if keep]
