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
from vlmprobe.analysis.deltas import category_codes
from vlmprobe.analysis.entanglement import axis_pairs
from vlmprobe.analysis.geometry import (
    Layout,
    axis_effect,
    balanced_coherence,
    corrected_cosine,
    halves,
    simultaneous_peak,
    split_reading,
    sums_of_swaps,
    why_no_halves,
)
from vlmprobe.analysis.inference import Estimate
from vlmprobe.analysis.results import Metric
from vlmprobe.pairs.axes import SPACE, Subset

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.catalog import Entry
    from vlmprobe.analysis.deltas import IntArray
    from vlmprobe.analysis.geometry import Split
    from vlmprobe.analysis.inference import Statistic
    from vlmprobe.pairs.axes import AxisSet

__all__ = ["LayerReadings", "ReadLayer"]


@dataclass(frozen=True, slots=True)
class ReadLayer:
    """The halves of one layer, without its vectors; a subset is missing where no axis has images enough."""

    coherence: dict[Subset, tuple[list[Statistic], list[Statistic]]]
    """Balanced coherence of each axis, in the first and in the second half."""
    angles: dict[Subset, tuple[list[Statistic], list[Statistic]]]
    """Corrected VD-EI of each pair of axes."""


@dataclass(frozen=True, slots=True)
class _Half:
    rows: IntArray
    """Numbers of its pairs."""
    layout: Layout
    images: IntArray
    """Places of its images among those of the subset."""


@dataclass(frozen=True, slots=True)
class _Sample:
    """One subset, divided."""

    halves: tuple[_Half, _Half]
    counts: IntArray
    """(G, C) pairs of each image and category."""

    def support(self, axes: Sequence[int]) -> tuple[int, int]:
        """Count the pairs of some axes, 0 if one has none, and the images of that which has the fewest."""
        of_axes = [self.counts[:, [2 * axis, 2 * axis + 1]].sum(axis=1) for axis in axes]
        n = [int(each.sum()) for each in of_axes]
        return sum(n) if min(n) else 0, min(int((each > 0).sum()) for each in of_axes)

    def why_not(self, axes: Sequence[int]) -> str:
        """Say why the axes have too few images to be divided, or return an empty text."""
        return why_no_halves(self.counts, [2 * axis + end for axis in axes for end in (0, 1)])


class LayerReadings:
    """Halves of the images, read layer by layer; work that no layer changes is done once."""

    def __init__(
        self,
        categories: Sequence[str],
        images: Sequence[str],
        *,
        seed: int = 0,
        both_correct: npt.NDArray[np.bool_] | None = None,
        axes: AxisSet = SPACE,
    ) -> None:
        """Divide the images of each subset.

        Args:
            categories: N category names.
            images: N image names or hashes; an image's pairs stay in one half.
            seed: of the multipliers behind the interval of a peak; the halves follow from the names alone.
            both_correct: (N,) mask of the pairs with both answers right; without it only ``all`` is computed.
            axes: the set that the categories are of.

        Raises:
            ValueError: the lengths differ, or a name is no category.
        """
        codes = category_codes(categories, axes)
        inside = {Subset.ALL: np.ones(len(codes), dtype=bool)}
        if both_correct is not None:
            inside[Subset.BOTH_CORRECT] = np.asarray(both_correct, dtype=bool)
        if not all(len(codes) == len(images) == len(mask) for mask in inside.values()):
            raise ValueError(f"{len(codes)} pairs need one image and flag each")
        self._axes, self._seed = axes, seed
        self._pairs = [tuple(axes.axes.index(axis) for axis in pair) for pair in axis_pairs(axes)]
        names = np.asarray(images, dtype=np.str_)
        self._samples = {
            subset: _divide(np.flatnonzero(mask), codes, names, len(axes.categories))
            for subset, mask in inside.items()
        }

    def __call__(self, orig: npt.NDArray[Any], swap: npt.NDArray[Any]) -> ReadLayer:
        """Read both halves of one layer.

        Args:
            orig: (N, D) finite states of the original questions, any float dtype.
            swap: (N, D) states of the swapped questions.

        Raises:
            ValueError: there are not as many states as pairs.
        """
        found = ReadLayer({}, {})
        for subset, sample in self._samples.items():
            if not any(sample.why_not((axis,)) == "" for axis in range(len(self._axes.axes))):
                continue
            both = [sums_of_swaps(orig, swap, half.layout, pairs=half.rows) for half in sample.halves]
            first, second = (each.units.products() for each in both)
            found.coherence[subset] = (
                [balanced_coherence(first, axis) for axis in range(len(self._axes.axes))],
                [balanced_coherence(second, axis) for axis in range(len(self._axes.axes))],
            )
            first, second = (each.raw.products() for each in both)
            effects = [tuple(axis_effect(axis) for axis in pair) for pair in self._pairs]
            found.angles[subset] = (
                [corrected_cosine(first, *pair, of_half=True) for pair in effects],
                [corrected_cosine(second, *pair, of_half=True) for pair in effects],
            )
        return found

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
        for subset in self._samples:
            splits = self._splits(subset, list(layers.values()))
            chosen: dict[str, list[int] | None] = {}
            numbers = list(layers)
            for entry, target, axes, split in splits:
                n, n_images = self._samples[subset].support(axes)
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
        sample = self._samples[subset]
        coherence = [each.coherence[subset] for each in layers if subset in each.coherence]
        angles = [each.angles[subset] for each in layers if subset in each.angles]
        targets = catalog.AXIS_COHERENCE_SPLIT.targets(self._axes)
        for axis, target in enumerate(targets):
            scores = [[each[half][axis].value for each in coherence] for half in (0, 1)]
            split = self._split(
                sample, (axis,), scores, [[each[h][axis] for each in coherence] for h in (0, 1)]
            )
            yield catalog.AXIS_COHERENCE_SPLIT, target, (axis,), split
        targets = catalog.VD_EI_SPLIT.targets(self._axes)
        for place, (target, axes) in enumerate(zip(targets, self._pairs, strict=True)):
            # Where the less coherent of the two axes is most coherent; the angle itself must not choose.
            scores = [
                [float(np.min([each[half][axis].value for axis in axes])) for each in coherence]
                for half in (0, 1)
            ]
            split = self._split(sample, axes, scores, [[each[h][place] for each in angles] for h in (0, 1)])
            yield catalog.VD_EI_SPLIT, target, axes, split

    def _split(
        self,
        sample: _Sample,
        axes: Sequence[int],
        scores: Sequence[Sequence[float]],
        readings: Sequence[Sequence[Statistic]],
    ) -> Split:
        n_images = len(sample.counts)
        first, second = (
            [_among(each, half.images, n_images) for each in of_half]
            for half, of_half in zip(sample.halves, readings, strict=True)
        )
        return split_reading((scores[0], scores[1]), (first, second), reason=sample.why_not(axes))

    def _peaks(
        self, subset: Subset, coherence: Mapping[int, Mapping[tuple[Subset, str], Statistic]]
    ) -> Iterator[Metric]:
        peak, where = catalog.AXIS_COHERENCE_BALANCED_PEAK, catalog.AXIS_COHERENCE_BALANCED_PEAK_LAYER
        numbers = list(coherence)
        for axis, target in enumerate(peak.targets(self._axes)):
            n, n_images = self._samples[subset].support([axis])
            of_layers = [coherence[layer][subset, target] for layer in numbers]
            estimate, place = simultaneous_peak(of_layers, seed=self._seed)
            metric = _metric(peak, subset, target, replace(estimate, n_images=n_images), n)
            yield replace(metric, seed=None if metric.ci_low is None else self._seed)
            layer = Estimate(
                None if place is None else float(numbers[place]), n_images, reason=metric.reason or ""
            )
            yield replace(_metric(where, subset, target, layer, n), method=None)


def _divide(rows: IntArray, codes: IntArray, names: npt.NDArray[np.str_], n_categories: int) -> _Sample:
    of_rows = names[rows]
    second = halves(codes[rows], of_rows.tolist())
    known, places = np.unique(of_rows, return_inverse=True)
    counts = np.zeros((len(known), n_categories), dtype=np.int64)
    np.add.at(counts, (places, codes[rows]), 1)
    first_half, second_half = (
        _Half(rows[inside], layout, np.searchsorted(known, np.array(layout.image_names, dtype=np.str_)))
        for inside in (~second, second)
        for layout in (Layout(codes[rows[inside]], of_rows[inside].tolist(), n_categories),)
    )
    return _Sample((first_half, second_half), counts)


def _among(statistic: Statistic, places: IntArray, n_images: int) -> Statistic:
    """Return a half's statistic over the images of both halves."""
    leave_outs, members = np.full(n_images, statistic.value), np.zeros(n_images, dtype=bool)
    leave_outs[places], members[places] = statistic.leave_outs, statistic.members
    return replace(statistic, leave_outs=leave_outs, members=members)


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
