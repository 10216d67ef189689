"""How large the axes of a layer are and at what angles they lie, from products of different images.

The published values beside these are biased where deltas are noisy, where an image has several pairs, or where the
categories of an axis are not equally many; :mod:`vlmprobe.analysis.geometry` says how these are not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import nan
from typing import TYPE_CHECKING

from vlmprobe.analysis import catalog
from vlmprobe.analysis.entanglement import axis_pairs
from vlmprobe.analysis.geometry import (
    axis_effect,
    axis_size,
    balanced_coherence,
    ceiling,
    corrected_cosine,
    order_coherence,
)
from vlmprobe.analysis.inference import Contrast, contrast_of_sizes, wild_p_of_contrasts
from vlmprobe.analysis.metric_maker import MetricMaker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vlmprobe.analysis.entries import Entry
    from vlmprobe.analysis.geometry import Effect, Products
    from vlmprobe.analysis.inference import Statistic
    from vlmprobe.analysis.pair_groups import LayerProducts, PairGroups
    from vlmprobe.analysis.results import Metric
    from vlmprobe.pairs.axes import AxisSet, Subset

__all__ = ["AxesOfLayer", "AxisMetrics", "n_vectors"]

_NO_LENGTH = "an axis has no positive squared length"


@dataclass(frozen=True, slots=True)
class AxesOfLayer:
    """The axes of one layer."""

    metrics: list[Metric]
    resolved: dict[tuple[Subset, str], bool]
    """(subset, axis) -> whether the lower bound of the axis's squared length, of deltas as they are, is above 0."""
    coherence: dict[tuple[Subset, str], Statistic]
    """(subset, axis) -> ``axis_coherence.balanced`` with its leave-one-outs."""


class AxisMetrics:
    """The axes of many layers of the same pairs; work that no layer changes is done once."""

    def __init__(self, groups: PairGroups, *, seed: int = 0) -> None:
        """Keep the groups of the run's pairs, and the seed of the wild tests: all layers share their signs."""
        self._groups, self._seed = groups, seed

    def __call__(self, products: LayerProducts, *, layer: int) -> AxesOfLayer:
        """Compute the axes of one layer: for each subset every target of each metric, also without data.

        A value that could not be had is NaN, its bounds are None, and ``reason`` says why. ``n`` counts the vectors
        of all members, 0 if one has none; ``n_images`` the images of the member with the fewest.

        Args:
            products: of the layer, over the same groups.
            layer: the layer's number; goes into the result.
        """
        metrics: list[Metric] = []
        resolved, coherence = {}, {}
        tested: dict[tuple[str, str, str], Contrast] = {}
        for subset in self._groups.subsets:
            sample = _Sample(self._groups.axes, subset, layer, products)
            metrics += sample.metrics()
            tested |= sample.tested
            for place, axis in enumerate(self._groups.axes):
                resolved[subset, str(axis)] = axis_size(products.raw[subset], place).estimate().is_resolved
                coherence[subset, str(axis)] = sample.coherence(place)
        found = wild_p_of_contrasts(list(tested.values()), seed=self._seed)
        p_values = dict(zip(tested, found, strict=True))
        return AxesOfLayer([self._with_p(metric, p_values) for metric in metrics], resolved, coherence)

    def _with_p(self, metric: Metric, p_values: Mapping[tuple[str, str, str], float | None]) -> Metric:
        p_value = p_values.get((metric.name, metric.subset, metric.target))
        return metric if p_value is None else replace(metric, p_value=p_value, seed=self._seed)


class _Sample:
    """One subset of one layer."""

    def __init__(self, axes: AxisSet, subset: Subset, layer: int, products: LayerProducts) -> None:
        # Nothing is drawn, so the seed goes nowhere.
        self._axes, self._maker, self._subset = axes, MetricMaker(subset, layer, seed=0), subset
        self._raw, self._units = products.raw[subset], products.units[subset]
        self.tested: dict[tuple[str, str, str], Contrast] = {}

    def coherence(self, place: int) -> Statistic:
        """Return the balanced coherence of an axis."""
        return balanced_coherence(self._units, place)

    def metrics(self) -> Iterator[Metric]:
        """Yield each metric with its targets."""
        for entry, estimate in (
            (catalog.AXIS_COHERENCE_BALANCED, balanced_coherence),
            (catalog.ORDER_COHERENCE, order_coherence),
        ):
            for place, target in enumerate(entry.targets(self._axes)):
                n = n_vectors(self._units, axis_effect(place))
                yield self._maker.estimated(entry, target, estimate(self._units, place).estimate(), n)
        places = [[self._axes.axes.index(axis) for axis in pair] for pair in axis_pairs(self._axes)]
        targets = catalog.VD_EI_CORRECTED.targets(self._axes)
        effects = [[axis_effect(place) for place in pair] for pair in places]
        angles = [corrected_cosine(self._raw, *both) for both in effects]
        cosines = [angle.estimate() for angle in angles]
        n_of = [n_vectors(self._raw, *both) for both in effects]
        for target, angle, cosine, n in zip(targets, angles, cosines, n_of, strict=True):
            # The angle itself: its sign is part of the question.
            self._test(catalog.VD_EI_CORRECTED, target, Contrast((angle,)))
            yield self._maker.estimated(catalog.VD_EI_CORRECTED, target, cosine, n)
        # |VD-EI| less the size of each of its controls.
        for control, angle, n in zip(targets[1:], angles[1:], n_of[1:], strict=True):
            excess = contrast_of_sizes([angles[0], angle], [1.0, -1.0])
            self._test(catalog.VD_EI_EXCESS, control, excess)
            n_both = n_of[0] + n if min(n_of[0], n) else 0
            yield self._maker.estimated(catalog.VD_EI_EXCESS, control, excess.estimate(), n_both)
        for target, (first, second), cosine, n in zip(targets, places, cosines, n_of, strict=True):
            value = ceiling(self._raw, first, second)
            yield self._maker.metric(
                catalog.VD_EI_CEILING,
                target,
                nan if value is None else value,
                n,
                n_images=cosine.n_images,
                reason=_NO_LENGTH if value is None else None,
            )

    def _test(self, entry: Entry, target: str, tested: Contrast) -> None:
        self.tested[entry.name, str(self._subset), target] = tested


def n_vectors(products: Products, *effects: Effect) -> int:
    """Count the vectors of some effects; 0 if one of them has none."""
    counts = [int(products.counts[:, list(effect.groups)].sum()) for effect in effects]
    return sum(counts) if min(counts) else 0
