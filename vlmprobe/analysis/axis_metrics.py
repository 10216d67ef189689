"""How large the axes of a layer are and at what angles they lie, from products of different images.

The published values beside these are biased where deltas are noisy, where an image has several pairs, or where the
categories of an axis are not equally many; :mod:`vlmprobe.analysis.geometry` says how these are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis import catalog
from vlmprobe.analysis.deltas import category_codes
from vlmprobe.analysis.entanglement import axis_pairs
from vlmprobe.analysis.geometry import (
    Layout,
    axis_effect,
    axis_size,
    balanced_coherence,
    ceiling,
    corrected_cosine,
    order_coherence,
    sums_of_swaps,
)
from vlmprobe.analysis.metric_maker import MetricMaker
from vlmprobe.pairs.axes import SPACE, Subset

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.geometry import DeltaSums, Effect, Products
    from vlmprobe.analysis.inference import Statistic
    from vlmprobe.analysis.results import Metric
    from vlmprobe.pairs.axes import AxisSet

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

    def __init__(
        self,
        categories: Sequence[str],
        images: Sequence[str],
        *,
        both_correct: npt.NDArray[np.bool_] | None = None,
        axes: AxisSet = SPACE,
    ) -> None:
        """Sort the pairs into groups.

        Args:
            categories: N category names.
            images: N image names or hashes; pairs about one image are not independent.
            both_correct: (N,) mask of the pairs with both answers right; without it only ``all`` is computed.
            axes: the set that the categories are of.

        Raises:
            ValueError: the lengths differ, or a name is no category.
        """
        codes = category_codes(categories, axes)
        n = len(codes)
        right = np.ones(n, dtype=bool) if both_correct is None else np.asarray(both_correct, dtype=bool)
        if not n == len(images) == len(right):
            raise ValueError(f"{n} pairs need one image and flag each")
        self._axes = axes
        self._subsets = [Subset.ALL] if both_correct is None else [Subset.ALL, Subset.BOTH_CORRECT]
        # Not by perspective: boxes that are given later would change the order of sums, and so the last bits.
        self._n_categories = len(axes.categories)
        self._layout = Layout(2 * codes + ~right, images, 2 * self._n_categories)

    def __call__(self, orig: npt.NDArray[Any], swap: npt.NDArray[Any], *, layer: int) -> AxesOfLayer:
        """Compute the axes of one layer: for each subset every target of each metric, also without data.

        A value that could not be had is NaN, its bounds are None, and ``reason`` says why. ``n`` counts the vectors
        of all members, 0 if one has none; ``n_images`` the images of the member with the fewest.

        Args:
            orig: (N, D) finite states of the original questions, any float dtype.
            swap: (N, D) states of the swapped questions.
            layer: the layer's number; goes into the result.

        Raises:
            ValueError: there are not as many states as pairs.
        """
        sums = sums_of_swaps(orig, swap, self._layout)
        metrics: list[Metric] = []
        resolved, coherence = {}, {}
        for subset in self._subsets:
            sample = _Sample(self._axes, subset, layer, sums, self._members(subset))
            metrics += sample.metrics()
            for place, axis in enumerate(self._axes):
                resolved[subset, str(axis)] = axis_size(sample.raw, place).estimate().is_resolved
                coherence[subset, str(axis)] = sample.coherence(place)
        return AxesOfLayer(metrics, resolved, coherence)

    def _members(self, subset: Subset) -> npt.NDArray[np.float64]:
        """Return (C, T) which groups the categories of a subset hold."""
        of_category = [1.0, float(subset is not Subset.BOTH_CORRECT)]
        members: npt.NDArray[np.float64] = np.kron(np.eye(self._n_categories), of_category).astype(np.float64)
        return members


class _Sample:
    """One subset of one layer."""

    def __init__(
        self, axes: AxisSet, subset: Subset, layer: int, sums: DeltaSums, members: npt.NDArray[np.float64]
    ) -> None:
        # Nothing is drawn, so the seed goes nowhere.
        self._axes, self._maker = axes, MetricMaker(subset, layer, seed=0)
        self.raw, self._units = sums.raw.products(members), sums.units.products(members)

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
        cosines = [corrected_cosine(self.raw, *both).estimate() for both in effects]
        n_of = [n_vectors(self.raw, *both) for both in effects]
        for target, cosine, n in zip(targets, cosines, n_of, strict=True):
            yield self._maker.estimated(catalog.VD_EI_CORRECTED, target, cosine, n)
        for target, (first, second), cosine, n in zip(targets, places, cosines, n_of, strict=True):
            value = ceiling(self.raw, first, second)
            yield self._maker.metric(
                catalog.VD_EI_CEILING,
                target,
                nan if value is None else value,
                n,
                n_images=cosine.n_images,
                reason=_NO_LENGTH if value is None else None,
            )


def n_vectors(products: Products, *effects: Effect) -> int:
    """Count the vectors of some effects; 0 if one of them has none."""
    counts = [int(products.counts[:, list(effect.groups)].sum()) for effect in effects]
    return sum(counts) if min(counts) else 0
