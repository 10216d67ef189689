"""Computes every metric of a run from its arrays: layer by layer, then reduced over layers."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe import __version__
from vlmprobe.analysis import (
    AxisMetrics,
    LayerMetrics,
    Metric,
    PairGroups,
    alignment_metrics,
    perspective_metrics,
    project_deltas,
    project_states,
)
from vlmprobe.analysis.axis_significance import N_DRAWS as N_PERMUTATIONS
from vlmprobe.analysis.axis_significance import TESTS_TOGETHER, AxisSignificance
from vlmprobe.analysis.blocks import in_order, shares_in_blocks
from vlmprobe.analysis.catalog import CATALOG, INPUTS, PCA
from vlmprobe.analysis.geometry import sums_of_layouts
from vlmprobe.analysis.inference.wild import N_DRAWS as N_WILD
from vlmprobe.analysis.layer_reading import LayerReadings
from vlmprobe.analysis.perspective_axes import PerspectiveAxes
from vlmprobe.analysis.side_by_side import MEMORY, side_by_side
from vlmprobe.pairs import DEPTH, SPACE, Subset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vlmprobe.analysis.axis_metrics import AxesOfLayer
    from vlmprobe.analysis.deltas import FloatArray, IntArray
    from vlmprobe.analysis.layer_reading import ReadLayer
    from vlmprobe.analysis.layer_sums import LayerVectors
    from vlmprobe.pairs import AxisSet
    from vlmprobe.pairs.strata import Strata
    from vlmprobe.store.arrays import RunArrays

__all__ = ["inputs_result", "run_metrics"]

#: Seed of the signs of quads; the published control also uses 42.
QUAD_SEED = 42
#: Seeds of the permuted labels, of the wild tests, and of the multipliers behind a peak's interval.
PERMUTATION_SEED = WILD_SEED = PEAK_SEED = 0
#: Memory for analyzing a layer, in copies of its float32 states: both sides, and the deltas in float64.
_COPIES = 4
#: Principal components whose shares are kept.
_COMPONENTS = 3


def run_metrics(
    arrays: RunArrays,
    advance: Callable[[int], None],
    strata: Strata | None = None,
    n_tests: int = TESTS_TOGETHER,
    memory: int = MEMORY,
) -> tuple[list[Metric], list[dict[str, Any]]]:
    """Compute the per-layer metrics of a run and its rows of ``results_json``, a few layers in memory at a time.

    Args:
        arrays: the run's.
        advance: called with 1 after each layer.
        strata: what the labels of the axis tests are permuted within.
        n_tests: tests of axes that will be corrected together.
        memory: bytes for all layers in work; one that needs more is read in blocks of pairs.

    Raises:
        ValueError: a hidden state is not finite.
        InputError: an image has no stratum.
    """
    bytes_each = arrays.layer_bytes * _COPIES
    job = _LayerJob(arrays, strata, n_tests, in_blocks=bytes_each > memory)
    metrics: list[Metric] = []
    results: list[dict[str, Any]] = []
    axes, halves, draws = {}, {}, {}
    in_order = side_by_side(job, arrays.layers, bytes_each=bytes_each, memory=memory)
    for layer, found in zip(arrays.layers, in_order, strict=True):
        metrics += found.metrics
        results += found.results
        if found.axes and found.halves:
            axes[layer], halves[layer], draws[layer] = found.axes, found.halves, found.draws
        advance(1)
    if not draws:
        return metrics, results
    over_layers, chosen = job.readings.over_layers(
        halves, {layer: of_layer.coherence for layer, of_layer in axes.items()}
    )
    resolved = {layer: of_layer.resolved for layer, of_layer in axes.items()}
    return job.significance(metrics, draws, resolved, job.vectors) + over_layers, results + chosen


@dataclass(frozen=True, slots=True)
class _OfLayer:
    """What one layer yields."""

    metrics: list[Metric] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    """Rows of ``results_json``."""
    axes: AxesOfLayer | None = None
    halves: ReadLayer | None = None
    draws: dict[str, FloatArray] = field(default_factory=dict)
    """See ``AxisSignificance.of_layer``."""


class _LayerJob:
    """Computes the metrics of one layer after another; what no layer changes is prepared once."""

    def __init__(
        self, arrays: RunArrays, strata: Strata | None, n_tests: int, *, in_blocks: bool = False
    ) -> None:
        self._arrays, self._in_blocks = arrays, in_blocks
        self._groups = PairGroups(
            arrays.categories, arrays.images, both_correct=arrays.both_correct, axes=arrays.axis_set
        )
        self._metrics = LayerMetrics(self._groups)
        self._axis_metrics = AxisMetrics(self._groups, seed=WILD_SEED)
        self.readings = LayerReadings(self._groups, seed=PEAK_SEED)
        self.significance = AxisSignificance(
            self._groups, arrays.pair_ids, seed=PERMUTATION_SEED, strata=strata, n_tests=n_tests
        )
        self._far_close = np.array([axis == DEPTH for axis in arrays.axes], dtype=bool)
        has_perspective = any(perspective is not None for perspective in arrays.perspectives)
        self._perspective_axes = (
            PerspectiveAxes(
                arrays.categories,
                arrays.perspectives,
                arrays.images,
                both_correct=arrays.both_correct,
                axes=arrays.axis_set,
            )
            if has_perspective
            else None
        )

        # Pairs by halves of images, and by perspective: one pass serves both.
        self._layouts = [self._groups.layout]
        if self._perspective_axes:
            self._layouts.append(self._perspective_axes.layout)

    def vectors(self, layer: int) -> LayerVectors:
        """Read a layer's vectors."""
        sides = self._sides(layer, self._groups.order)
        return self._groups.vectors(*sides, layer=layer)

    def _sides(self, layer: int, order: IntArray, states: Any = None) -> tuple[Any, Any]:
        """Return a layer's states of either side, as they are or to be read in this order."""
        if self._in_blocks:
            return in_order(partial(self._arrays.rows, layer), order, self._arrays.dim)
        states = self._arrays.layer(layer) if states is None else states
        return states[:, 0], states[:, 1]

    def _explained(self, layer: int, states: Any) -> list[dict[str, Any]]:
        """Return the explained variances of both subsets."""
        arrays, right = self._arrays, self._arrays.both_correct
        if self._in_blocks:
            places = {Subset.ALL: np.arange(len(right)), Subset.BOTH_CORRECT: np.flatnonzero(right)}
            read = partial(arrays.rows, layer)
            return [
                _variance_row(shares_in_blocks(read, at, arrays.dim, _COMPONENTS), layer, subset)
                for subset, at in places.items()
            ]
        of_right = _chosen(arrays.categories, right)
        return [
            explained_variance(states, arrays.categories, layer, Subset.ALL, arrays.axis_set),
            explained_variance(states[right], of_right, layer, Subset.BOTH_CORRECT, arrays.axis_set),
        ]

    def __call__(self, layer: int) -> _OfLayer:
        """Compute one layer."""
        arrays, right = self._arrays, self._arrays.both_correct
        metrics: list[Metric] = []
        results: list[dict[str, Any]] = []
        of_axes, halves = None, None
        draws: dict[str, FloatArray] = {}
        # In blocks nothing of a layer is held but what is computed of it.
        states = None if self._in_blocks else arrays.layer(layer)
        if len(right):
            vectors = self._groups.vectors(*self._sides(layer, self._groups.order, states), layer=layer)
            of_pairs, *of_halves = sums_of_layouts(
                *self._sides(layer, self._layouts[0].order, states), self._layouts
            )
            products = self._groups.products_of(of_pairs)
            metrics += self._metrics(vectors, products, layer=layer)
            of_axes = self._axis_metrics(products, layer=layer)
            metrics += of_axes.metrics
            halves, draws = self.readings(products), self.significance.of_layer(vectors)
            del vectors
            results += self._explained(layer, states)
        if self._perspective_axes and len(right):
            perspectives = self._perspective_axes.of_sums(of_halves[0], layer=layer)
            metrics += perspectives.metrics
            rows = self._far_close
            of_rows = arrays.rows(layer, np.flatnonzero(rows)) if states is None else states[rows]
            metrics += perspective_metrics(
                of_rows[:, 1] - of_rows[:, 0],
                _chosen(arrays.categories, rows),
                _chosen(arrays.perspectives, rows),
                _chosen(arrays.images, rows),
                layer=layer,
                both_correct=right[rows],
                coherence=perspectives.coherence,
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
                axes=arrays.axis_set,
            )
        return _OfLayer(metrics, results, of_axes, halves, draws)


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
        name: project(states[:, 0], states[:, 1], categories, _COMPONENTS, axes).explained
        for name, project in (("states", project_states), ("deltas", project_deltas))
    }
    return _variance_row(shares, layer, subset)


def _variance_row(found: Mapping[str, Sequence[float]], layer: int, subset: Subset) -> dict[str, Any]:
    shares = {name: [share if isfinite(share) else None for share in each] for name, each in found.items()}
    return {"name": PCA.name, "version": PCA.version, "subset": str(subset), "layer": layer, "value": shares}


def inputs_result(sha256: str, strata: Strata | None = None, n_tests: int = TESTS_TOGETHER) -> dict[str, Any]:
    """Return the row of ``results_json`` that says what a run's metrics were computed from, and how.

    While it is equal, computing them again gives the same numbers.

    Args:
        sha256: the hash of the run's pairs, answers and arrays; see :class:`vlmprobe.store.arrays.Inputs`.
        strata: what the labels of the axis tests were permuted within.
        n_tests: tests of axes that are corrected together.
    """
    value: dict[str, Any] = {
        "sha256": sha256,
        "vlmprobe": __version__,
        "versions": {entry.name: entry.version for entry in CATALOG.values()},
        "seeds": {
            "quads": QUAD_SEED,
            "permutations": PERMUTATION_SEED,
            "wild tests": WILD_SEED,
            "peaks": PEAK_SEED,
        },
        "draws": {"permutations": N_PERMUTATIONS, "wild tests": N_WILD},
        "tests together": n_tests,
    }
    if strata is not None:
        value["strata"] = strata.facts
    return {
        "name": INPUTS.name,
        "version": INPUTS.version,
        "subset": str(Subset.ALL),
        "layer": -1,
        "value": value,
    }


def _chosen(values: Sequence[Any], mask: np.ndarray[Any, np.dtype[np.bool_]]) -> list[Any]:
    return [value for value, keep in zip(values, mask, strict=True) if keep]
