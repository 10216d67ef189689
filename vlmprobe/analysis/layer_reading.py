"""What an axis is worth at its best layer: the highest value over layers is too high, since it was looked for.

The images are divided into halves. Either half is read at the layer that the other one chose, so that choosing does not
flatter the value; beside it stands the highest value, with an interval for all layers at once. Of each layer only
leave-one-outs are kept, a few numbers an image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis import catalog
from vlmprobe.analysis.entanglement import axis_pairs
from vlmprobe.analysis.geometry import (
    axis_effect,
    balanced_coherence,
    corrected_cosine,
    simultaneous_peak,
    split_reading,
    why_no_halves,
)
from vlmprobe.analysis.inference import Estimate
from vlmprobe.analysis.results import Metric

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vlmprobe.analysis.catalog import Entry
    from vlmprobe.analysis.geometry import Split
    from vlmprobe.analysis.inference import Statistic
    from vlmprobe.analysis.pair_groups import LayerProducts, PairGroups
    from vlmprobe.pairs.axes import Subset

__all__ = ["LayerReadings", "ReadLayer"]


@dataclass(frozen=True, slots=True)
class ReadLayer:
    """The halves of one layer, without its vectors; a subset is missing where no axis has images enough."""

    coherence: dict[Subset, tuple[list[Statistic], list[Statistic]]]
    """Balanced coherence of each axis, in the first and in the second half."""
    angles: dict[Subset, tuple[list[Statistic], list[Statistic]]]
    """Corrected VD-EI of each pair of axes."""


class LayerReadings:
    """Halves of the images, read layer by layer."""

    def __init__(self, groups: PairGroups, *, seed: int = 0) -> None:
        """Count the pairs of each image.

        Args:
            groups: of the run's pairs.
            seed: of the multipliers behind the interval of a peak; the halves follow from the names alone.
        """
        self._groups, self._axes, self._seed = groups, groups.axes, seed
        self._pairs = [
            tuple(groups.axes.axes.index(axis) for axis in pair) for pair in axis_pairs(groups.axes)
        ]
        self._counts = {subset: groups.image_counts(subset) for subset in groups.subsets}

    def __call__(self, products: LayerProducts) -> ReadLayer:
        """Read both halves of one layer."""
        found = ReadLayer({}, {})
        effects = [tuple(axis_effect(axis) for axis in pair) for pair in self._pairs]
        axes = range(len(self._axes.axes))
        for subset in self._counts:
            if not any(self._why_not(subset, (axis,)) == "" for axis in axes):
                continue
            members = [self._groups.members(subset, half) for half in (0, 1)]
            units = [products.sums.units.products(each) for each in members]
            raw = [products.sums.raw.products(each) for each in members]
            first, second = ([balanced_coherence(half, axis) for axis in axes] for half in units)
            found.coherence[subset] = first, second
            first, second = ([corrected_cosine(half, one, other) for one, other in effects] for half in raw)
            found.angles[subset] = first, second
        return found

    def _support(self, subset: Subset, axes: Sequence[int]) -> tuple[int, int]:
        """Count the pairs of some axes, 0 if one has none, and the images of that which has the fewest."""
        of_axes = [self._counts[subset][:, [2 * axis, 2 * axis + 1]].sum(axis=1) for axis in axes]
        n = [int(each.sum()) for each in of_axes]
        return sum(n) if min(n) else 0, min(int((each > 0).sum()) for each in of_axes)

    def _why_not(self, subset: Subset, axes: Sequence[int]) -> str:
        """Say why the axes have too few images to be divided, or return an empty text."""
        return why_no_halves(self._counts[subset], [2 * axis + end for axis in axes for end in (0, 1)])

    def over_layers(
        self,
        layers: Mapping[int, ReadLayer],
        coherence: Mapping[int, Mapping[tuple[Subset, str], Statistic]],
    ) -> tuple[list[Metric], list[dict[str, Any]]]:
        """Reduce a run's layers to its metrics and its rows of ``results_json``.

        Args:
            layers: layer -> its halves.
            coherence: layer -> ``AxesOfLayer.coherence``, of all images.

        Returns:
            For each subset every target of ``axis_coherence.split``, ``vd_ei.split`` and of the peak of
            ``axis_coherence.balanced`` with its layer, also without a value; and the layers that the halves chose.
        """
        metrics: list[Metric] = []
        results = []
        for subset in self._counts:
            splits = self._splits(subset, list(layers.values()))
            chosen: dict[str, list[int] | None] = {}
            numbers = list(layers)
            for entry, target, axes, split in splits:
                n, n_images = self._support(subset, axes)
                estimate = replace(split.estimate, n_images=n_images)
                metrics.append(_metric(entry, subset, target, estimate, n))
                chosen[target] = split.places and [numbers[place] for place in split.places]
            metrics += self._peaks(subset, coherence)
            entry = catalog.AXIS_COHERENCE_SPLIT_LAYER
            results.append(
                {
                    "name": entry.name,
                    "version": entry.version,
                    "subset": str(subset),
                    "layer": -1,
                    "value": chosen,
                }
            )
        return metrics, results

    def _splits(
        self, subset: Subset, layers: Sequence[ReadLayer]
    ) -> Iterator[tuple[Entry, str, tuple[int, ...], Split]]:
        """Yield entry, target, numbers of axes and reading."""
        coherence = [each.coherence[subset] for each in layers if subset in each.coherence]
        angles = [each.angles[subset] for each in layers if subset in each.angles]
        targets = catalog.AXIS_COHERENCE_SPLIT.targets(self._axes)
        for axis, target in enumerate(targets):
            first, second = ([each[half][axis] for each in coherence] for half in (0, 1))
            scores = [each.value for each in first], [each.value for each in second]
            split = split_reading(scores, (first, second), reason=self._why_not(subset, (axis,)))
            yield catalog.AXIS_COHERENCE_SPLIT, target, (axis,), split
        targets = catalog.VD_EI_SPLIT.targets(self._axes)
        for place, (target, axes) in enumerate(zip(targets, self._pairs, strict=True)):
            # Where the less coherent of the two axes is most coherent; the angle itself must not choose.
            low, high = (
                [float(np.min([each[half][axis].value for axis in axes])) for each in coherence]
                for half in (0, 1)
            )
            first, second = ([each[half][place] for each in angles] for half in (0, 1))
            split = split_reading((low, high), (first, second), reason=self._why_not(subset, axes))
            yield catalog.VD_EI_SPLIT, target, axes, split

    def _peaks(
        self, subset: Subset, coherence: Mapping[int, Mapping[tuple[Subset, str], Statistic]]
    ) -> Iterator[Metric]:
        peak, where = catalog.AXIS_COHERENCE_BALANCED_PEAK, catalog.AXIS_COHERENCE_BALANCED_PEAK_LAYER
        numbers = list(coherence)
        for axis, target in enumerate(peak.targets(self._axes)):
            n, n_images = self._support(subset, [axis])
            of_layers = [coherence[layer][subset, target] for layer in numbers]
            estimate, place = simultaneous_peak(of_layers, seed=self._seed)
            metric = _metric(peak, subset, target, replace(estimate, n_images=n_images), n)
            yield replace(metric, seed=None if metric.ci_low is None else self._seed)
            layer = Estimate(
                None if place is None else float(numbers[place]), n_images, reason=metric.reason or ""
            )
            yield replace(_metric(where, subset, target, layer, n), method=None)


def _metric(entry: Entry, subset: Subset, target: str, estimate: Estimate, n: int) -> Metric:
    return Metric(
        name=entry.name,
        version=entry.version,
        subset=str(subset),
        target=target,
        layer=-1,
        value=nan if estimate.value is None else estimate.value,
        std=None,
        n=n,
        ci_low=estimate.ci_low,
        ci_high=estimate.ci_high,
        n_images=estimate.n_images,
        method=entry.interval.value,
        reason=estimate.reason or estimate.note or None,
    )
