"""Every metric of one decoder layer, each with its bootstrap interval, from that layer's hidden states."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis import catalog
from vlmprobe.analysis.coherence import std_of_pairs, weighted_pairwise_cosine
from vlmprobe.analysis.deltas import category_codes, check_finite, check_shapes
from vlmprobe.analysis.entanglement import axis_pairs, category_pairs, cosines, vd_ei_eq3, vd_ei_pooled
from vlmprobe.analysis.groups import Groups, of_subset, totals_of_targets
from vlmprobe.analysis.layer_sums import LayerSums, LayerVectors
from vlmprobe.analysis.metric_maker import MetricMaker
from vlmprobe.analysis.resampling import bootstrap_weights
from vlmprobe.pairs.axes import SPACE, Subset

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import BoolArray, FloatArray
    from vlmprobe.analysis.results import Metric
    from vlmprobe.pairs.axes import AxisSet

__all__ = ["LayerMetrics", "layer_metrics"]


def layer_metrics(
    orig: npt.NDArray[Any],
    swap: npt.NDArray[Any],
    categories: Sequence[str],
    images: Sequence[str],
    *,
    layer: int,
    both_correct: npt.NDArray[np.bool_] | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
    weights: npt.NDArray[Any] | None = None,
    axes: AxisSet = SPACE,
) -> list[Metric]:
    """Compute all metrics of one layer's swap pairs.

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

    The interval is NaN where a target's pairs, or those of one member of a pair target, come from fewer than
    two images (resampling one image shows no spread), or where fewer than half of the resamples define the
    value. It is None for ``zero_deltas``, and everywhere if there are no resamples.

    Args:
        orig: (N, D) states of the original questions, any float dtype.
        swap: (N, D) states of the swapped questions.
        categories: N category names.
        images: N image names or hashes: the units of the bootstrap.
        layer: the layer's number, 0 = the first; goes into the result.
        both_correct: (N,) mask of the pairs with both answers right; without it only ``all`` is computed.
        n_resamples: B, unless ``weights`` are given.
        seed: of the bootstrap; goes into the result.
        weights: (B, N) from ``bootstrap_weights(images, B, seed)``, to draw once for all layers.
        axes: the set that the categories are of; without height and depth in it there is no VD-EI.

    Raises:
        ValueError: a state is not finite, lengths differ, or a name is no category.
    """
    study = LayerMetrics(
        categories,
        images,
        both_correct=both_correct,
        n_resamples=n_resamples,
        seed=seed,
        weights=weights,
        axes=axes,
    )
    return study(orig, swap, layer=layer)


class LayerMetrics:
    """``layer_metrics`` for many layers of the same pairs; work that no layer changes is done once."""

    def __init__(
        self,
        categories: Sequence[str],
        images: Sequence[str],
        *,
        both_correct: npt.NDArray[np.bool_] | None = None,
        n_resamples: int = 1000,
        seed: int = 0,
        weights: npt.NDArray[Any] | None = None,
        axes: AxisSet = SPACE,
    ) -> None:
        """Sort the pairs into groups and draw the resamples; arguments as of ``layer_metrics``.

        Raises:
            ValueError: lengths differ, or a name is no category.
        """
        codes = category_codes(categories, axes)
        self._axes = axes
        self._n = len(codes)
        _check_lengths(self._n, images=images, both_correct=both_correct)
        if weights is None:
            weights = bootstrap_weights(images, n_resamples, seed)
        if weights.ndim != 2 or weights.shape[1] != self._n:
            raise ValueError(f"weights must be (B, {self._n}) for {self._n} pairs, got {weights.shape}")
        right = np.ones(self._n, dtype=bool) if both_correct is None else np.asarray(both_correct, dtype=bool)
        numbers = np.unique(np.asarray(images, dtype=np.str_), return_inverse=True)[1]
        groups = Groups(codes, right, numbers, len(axes.categories))
        self._order = groups.order()
        self._groups = groups.select(self._order)
        self._weights = weights[:, self._order]
        self._seed = seed
        self._subsets = [Subset.ALL] if both_correct is None else [Subset.ALL, Subset.BOTH_CORRECT]
        everything = np.ones(self._n, dtype=bool)
        self._support = {subset: self._groups.support(subset, everything) for subset in self._subsets}

    def __call__(self, orig: npt.NDArray[Any], swap: npt.NDArray[Any], *, layer: int) -> list[Metric]:
        """Compute the metrics of one layer.

        Raises:
            ValueError: a state is not finite, or there are not as many as pairs.
        """
        check_shapes(orig, swap)
        if len(orig) != self._n:
            raise ValueError(f"{len(orig)} pairs need one category each, got {self._n}")
        with np.errstate(
            invalid="ignore", over="ignore"
        ):  # inf - inf: reported below, with the layer and the count
            vectors = LayerVectors(orig, swap, self._order, self._groups, self._subsets)
        # If a difference is finite, so are its terms and its length.
        check_finite(vectors.lengths, "pairs", layer=layer)
        # Resamples first: their products are reused for the spread.
        sums, over_pairs = vectors.sums(self._weights), vectors.sums_over_pairs()
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
                ),
                MetricMaker(subset, layer, self._seed),
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
    """(R, C + K, C + K) of the subset."""

    def totals(self, values: FloatArray) -> FloatArray:
        """Add (R, C, 2) sums over groups up to the (R, C + K) of the targets."""
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
    means = weighted_pairwise_cosine(
        sample.within(sums.directions), sample.totals(sums.directed), sample.totals(sums.directed_squares)
    )
    n, n_images = sample.support(sample.vectors.directed)
    totals, squares = (sample.within(values) for values in sample.over_pairs)
    std = [
        std_of_pairs(float(total), float(square), count)
        for total, square, count in zip(totals, squares, n, strict=True)
    ]
    for entry, part in (
        (catalog.WITHIN_CATEGORY_CONSISTENCY, slice(None, sample.n_categories)),
        (catalog.AXIS_COHERENCE, slice(sample.n_categories, None)),
    ):
        yield from maker.metrics(
            entry, entry.targets(sample.axes), means[:, part], n[part], n_images[part], std=std[part]
        )


def _of_means(sample: _Sample, maker: MetricMaker) -> Iterator[Metric]:
    axes, similarity = sample.axes, cosines(sample.grams, sample.totals(sample.sums.lengths))
    pairs = axis_pairs(axes)
    places = [[axes.categories.index(name) for name in names] for names in category_pairs(axes)]
    numbers = [[axes.axes.index(name) for name in names] for names in pairs]
    fours = [[2 * axis + end for axis in two for end in range(2)] for two in numbers]
    twos = [[sample.n_categories + axis for axis in two] for two in numbers]
    for entry, columns, sets in (
        (catalog.DELTA_SIMILARITY, [similarity[:, i, j] for i, j in places], places),
        (catalog.VD_EI_EQ3, [vd_ei_eq3(similarity, *two, axes=axes) for two in pairs], fours),
        (catalog.VD_EI_POOLED, [vd_ei_pooled(similarity, *two, axes=axes) for two in pairs], twos),
    ):
        if not columns:
            continue
        support = _support_of_sets(sample.support(), sets)
        yield from maker.metrics(entry, entry.targets(axes), np.stack(columns, axis=1), *support)


def _of_lengths(sample: _Sample, maker: MetricMaker) -> Iterator[Metric]:
    vectors, sums = sample.vectors, sample.sums
    for entry, lengths, kept, totals, weights in (
        (catalog.DELTA_NORM, vectors.lengths, np.ones_like(vectors.based), sums.lengths, sums.drawn),
        (catalog.DELTA_RATIO, vectors.ratios, vectors.based, sums.ratios, sums.based),
    ):
        added, counts = of_subset(totals, sample.subset), of_subset(weights, sample.subset)
        means = np.divide(added, counts, out=np.full(added.shape, nan), where=counts > 0)
        masks = [rows & kept for rows in sample.groups.rows_of_targets(sample.subset)[: sample.n_categories]]
        std = [float(lengths[rows].std()) if rows.any() else nan for rows in masks]
        n, n_images = (numbers[: sample.n_categories] for numbers in sample.support(kept))
        yield from maker.metrics(entry, entry.targets(sample.axes), means, n, n_images, std=std)


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


def _check_lengths(n: int, **columns: Sequence[Any] | npt.NDArray[Any] | None) -> None:
    for name, column in columns.items():
        if column is not None and len(column) != n:
            raise ValueError(f"{n} pairs need {n} {name}, got {len(column)}")
