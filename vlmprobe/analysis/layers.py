"""The published metrics of one decoder layer, each with its interval where one covers."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis import catalog
from vlmprobe.analysis.coherence import mean_of_pairs, std_of_pairs
from vlmprobe.analysis.entanglement import axis_pairs, category_pairs, cosines, vd_ei_eq3, vd_ei_pooled
from vlmprobe.analysis.geometry import pairwise_coherence, pooled_coherence
from vlmprobe.analysis.groups import of_subset, totals_of_targets
from vlmprobe.analysis.inference import Estimate, Scale, clustered_mean
from vlmprobe.analysis.metric_maker import MetricMaker
from vlmprobe.analysis.pair_groups import PairGroups
from vlmprobe.pairs.axes import SPACE, Subset

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import BoolArray, FloatArray
    from vlmprobe.analysis.groups import Groups
    from vlmprobe.analysis.layer_sums import LayerSums, LayerVectors
    from vlmprobe.analysis.pair_groups import LayerProducts
    from vlmprobe.analysis.results import Metric
    from vlmprobe.pairs.axes import AxisSet

__all__ = ["LayerMetrics", "layer_metrics"]

#: Stands for an estimate of which the interval need not cover anyway.
NOT_WANTED = Estimate(None, 0)


def layer_metrics(
    orig: npt.NDArray[Any],
    swap: npt.NDArray[Any],
    categories: Sequence[str],
    images: Sequence[str],
    *,
    layer: int,
    both_correct: npt.NDArray[np.bool_] | None = None,
    intervals: bool = True,
    axes: AxisSet = SPACE,
) -> list[Metric]:
    """Compute the published metrics of one layer's swap pairs.

    Names, and their targets::

        within_category_consistency    the categories
        delta_norm, delta_ratio        the categories (in the states' own unit; |delta| / |h(orig)|)
        axis_coherence                 the axes
        zero_deltas                    the axes (how many deltas are zero, and so have no cosine)
        delta_similarity               left/right .. far/close, 15 pairs
        vd_ei.eq3, vd_ei.pooled        vertical/distance, horizontal/vertical, horizontal/distance

    Every target is present: without data its value is NaN and its n 0. ``n`` counts the vectors used (of both
    members of a pair target). ``std`` (ddof 0) is over pairs i < j for consistency and coherence, over
    swap pairs for norm and ratio, None for the rest.

    The interval is a jackknife over images (:mod:`vlmprobe.analysis.inference.jackknife`). It is None, with the reason,
    where images are too few, for ``zero_deltas``, for plug-ins that noise biases (``delta_similarity``, ``vd_ei``), and
    for consistency and coherence where an image has several vectors of a target.

    Args:
        orig: (N, D) states of the original questions, any float dtype.
        swap: (N, D) states of the swapped questions.
        categories: N category names.
        images: N image names or hashes: the units of the jackknife.
        layer: the layer's number, 0 = the first; goes into the result.
        both_correct: (N,) mask of the pairs with both answers right; without it only ``all`` is computed.
        intervals: whether to compute them; values alone take half of the time.
        axes: the set that the categories are of; without height and depth in it there is no VD-EI.

    Raises:
        ValueError: a state is not finite, lengths differ, or a name is no category.
    """
    groups = PairGroups(categories, images, both_correct=both_correct, axes=axes)
    vectors = groups.vectors(orig, swap, layer=layer)
    return LayerMetrics(groups)(vectors, groups.products(orig, swap) if intervals else None, layer=layer)


class LayerMetrics:
    """``layer_metrics`` for many layers of the same pairs; work that no layer changes is done once."""

    def __init__(self, pairs: PairGroups) -> None:
        """Keep the groups of the run's pairs."""
        self._axes, self._subsets, self._groups = pairs.axes, pairs.subsets, pairs.groups
        everything = np.ones(len(pairs.codes), dtype=bool)
        self._support = {subset: self._groups.support(subset, everything) for subset in self._subsets}

    def __call__(
        self, vectors: LayerVectors, products: LayerProducts | None = None, *, layer: int
    ) -> list[Metric]:
        """Compute the metrics of one layer.

        Args:
            vectors: of the layer.
            products: of the same states, for the intervals; None = no intervals.
            layer: the layer's number; goes into the result.
        """
        sums, over_pairs = vectors.sums(), vectors.sums_over_pairs()
        return [
            metric
            for place, subset in enumerate(self._subsets)
            for metric in _metrics(
                _Sample(
                    self._axes,
                    vectors,
                    self._groups,
                    subset,
                    self._support[subset],
                    sums,
                    over_pairs,
                    sums.grams[place],
                    products,
                ),
                MetricMaker(subset, layer, seed=0),
            )
        ]


@dataclass(frozen=True, slots=True)
class _Sample:
    """One subset, and the sums over the groups that it is a union of."""

    axes: AxisSet
    vectors: LayerVectors
    groups: Groups
    subset: Subset
    everything: tuple[list[int], list[int]]
    """Numbers of pairs and of distinct images of the targets."""
    sums: LayerSums
    over_pairs: tuple[FloatArray, FloatArray]
    """(K, 4, 4) cosines between the groups of each axis, and their squares, of different vectors."""
    grams: FloatArray
    """(C + K, C + K) of the subset."""
    products: LayerProducts | None

    def totals(self, values: FloatArray) -> FloatArray:
        """Add (C, 2) sums over groups up to the (C + K) of the targets."""
        return totals_of_targets(of_subset(values, self.subset))

    def within(self, products: FloatArray) -> FloatArray:
        """Add (..., K, 4, 4) products between the groups of each axis up to the (..., C + K) within each target."""
        parts = products.reshape(*products.shape[:-2], 2, 2, 2, 2)
        of_pairs = parts[..., 0, :, 0] if self.subset is Subset.BOTH_CORRECT else parts.sum(axis=(-3, -1))
        n = self.n_categories
        found = np.empty((*products.shape[:-3], n + n // 2))
        for place in range(2):
            found[..., place:n:2] = of_pairs[..., place, place]
        for axis in range(n // 2):
            found[..., n + axis] = of_pairs[..., axis, :, :].sum(axis=(-2, -1))
        return found

    def coherence(self, place: int, *, is_wanted: bool) -> Estimate | None:
        """Estimate the mean cosine within a category or, from C on, an axis; None without products."""
        if self.products is None:
            return None
        if not is_wanted:
            return NOT_WANTED
        if place < self.n_categories:
            return pairwise_coherence(self.products.units[self.subset], place).estimate()
        members = self.products.members[self.subset]
        return pooled_coherence(self.products.sums.units, place - self.n_categories, members).estimate()

    def length(self, lengths: FloatArray, rows: BoolArray) -> Estimate | None:
        """Estimate a mean length over some pairs; None without products."""
        if self.products is None:
            return None
        return clustered_mean(lengths[rows], self.groups.images[rows], scale=Scale.POSITIVE).estimate()

    @property
    def n_categories(self) -> int:
        """C, where the axes begin among the targets."""
        return self.groups.n_categories

    def support(self, kept: BoolArray | None = None) -> tuple[list[int], list[int]]:
        """Count pairs and distinct images of the targets, of those pairs that are kept."""
        if kept is None or kept.all():
            return self.everything
        return self.groups.support(self.subset, kept)


def _metrics(sample: _Sample, maker: MetricMaker) -> Iterator[Metric]:
    """Compute each metric of one subset for all its targets and resamples at once."""
    yield from _of_directions(sample, maker)
    yield from _of_means(sample, maker)
    yield from _of_lengths(sample, maker)
    yield from _of_zeros(sample, maker)


def _of_directions(sample: _Sample, maker: MetricMaker) -> Iterator[Metric]:
    sums = sample.sums
    means = mean_of_pairs(sample.within(sums.directions), sample.totals(sums.n_directed))
    n, n_images = sample.support(sample.vectors.directed)
    totals, squares = (sample.within(values) for values in sample.over_pairs)
    targets = (
        catalog.WITHIN_CATEGORY_CONSISTENCY.targets(sample.axes),
        catalog.AXIS_COHERENCE.targets(sample.axes),
    )
    for place, target in enumerate((*targets[0], *targets[1])):
        is_axis = place >= sample.n_categories
        entry = catalog.AXIS_COHERENCE if is_axis else catalog.WITHIN_CATEGORY_CONSISTENCY
        yield maker.published(
            entry,
            target,
            float(means[place]),
            n[place],
            n_images[place],
            std=std_of_pairs(float(totals[place]), float(squares[place]), n[place]),
            estimate=sample.coherence(place, is_wanted=n[place] == n_images[place]),
        )


def _of_means(sample: _Sample, maker: MetricMaker) -> Iterator[Metric]:
    axes, similarity = sample.axes, cosines(sample.grams, sample.totals(sample.sums.lengths))
    pairs = axis_pairs(axes)
    places = [[axes.categories.index(name) for name in names] for names in category_pairs(axes)]
    numbers = [[axes.axes.index(name) for name in names] for names in pairs]
    fours = [[2 * axis + end for axis in two for end in range(2)] for two in numbers]
    twos = [[sample.n_categories + axis for axis in two] for two in numbers]
    for entry, values, sets in (
        (catalog.DELTA_SIMILARITY, [similarity[i, j] for i, j in places], places),
        (catalog.VD_EI_EQ3, [vd_ei_eq3(similarity, *two, axes=axes) for two in pairs], fours),
        (catalog.VD_EI_POOLED, [vd_ei_pooled(similarity, *two, axes=axes) for two in pairs], twos),
    ):
        support = _support_of_sets(sample.support(), sets)
        for target, value, n, n_images in zip(entry.targets(axes), values, *support, strict=True):
            yield maker.published(entry, target, float(value), n, n_images)


def _of_lengths(sample: _Sample, maker: MetricMaker) -> Iterator[Metric]:
    vectors, sums = sample.vectors, sample.sums
    for entry, lengths, kept, totals, counts in (
        (catalog.DELTA_NORM, vectors.lengths, np.ones_like(vectors.based), sums.lengths, sums.n),
        (catalog.DELTA_RATIO, vectors.ratios, vectors.based, sums.ratios, sums.n_based),
    ):
        added, number = of_subset(totals, sample.subset), of_subset(counts, sample.subset)
        means = np.divide(added, number, out=np.full(added.shape, nan), where=number > 0)
        masks = [rows & kept for rows in sample.groups.rows_of_targets(sample.subset)[: sample.n_categories]]
        n, n_images = sample.support(kept)
        for place, (target, rows) in enumerate(zip(entry.targets(sample.axes), masks, strict=True)):
            yield maker.published(
                entry,
                target,
                float(means[place]),
                n[place],
                n_images[place],
                std=float(lengths[rows].std()) if rows.any() else nan,
                estimate=sample.length(lengths, rows),
            )


def _of_zeros(sample: _Sample, maker: MetricMaker) -> Iterator[Metric]:
    (n, _), (n_directed, _) = sample.support(), sample.support(sample.vectors.directed)
    targets = catalog.ZERO_DELTAS.targets(sample.axes)
    for axis, target in enumerate(targets, start=sample.n_categories):
        count = float(n[axis] - n_directed[axis]) if n[axis] else nan
        yield maker.metric(catalog.ZERO_DELTAS, target, count, n[axis])


def _support_of_sets(
    support: tuple[list[int], list[int]], sets: Sequence[Sequence[int]]
) -> tuple[list[int], list[int]]:
    """Count the vectors behind values made of several targets; 0 if one of the targets has none."""
    n, n_images = support
    fewest = [min(n_images[target] for target in members) for members in sets]
    return [
        sum(n[target] for target in members) if few else 0 for members, few in zip(sets, fewest, strict=True)
    ], fewest
