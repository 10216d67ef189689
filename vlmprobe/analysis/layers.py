"""Every metric of one decoder layer, each with its bootstrap interval, from that layer's hidden states."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.coherence import pairwise_cosine, weighted_pairwise_cosine
from vlmprobe.analysis.deltas import category_codes, deltas, signs, unit
from vlmprobe.analysis.entanglement import AXIS_PAIRS, CATEGORY_PAIRS, cosines, vd_ei_eq3, vd_ei_pooled
from vlmprobe.analysis.resampling import (
    apart,
    bootstrap_weights,
    percentile_interval,
    weighted_grams,
    weighted_totals,
)
from vlmprobe.analysis.results import Metric
from vlmprobe.pairs.axes import AXES, CATEGORIES, Subset

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import BoolArray, FloatArray, IntArray

__all__ = ["METRIC_VERSIONS", "layer_metrics"]

#: Raised when a definition changes, so that old and new numbers are told apart.
METRIC_VERSIONS = {
    "within_category_consistency": 1,
    "axis_coherence": 1,
    "delta_similarity": 1,
    "delta_norm": 1,
    "delta_ratio": 1,
    "vd_ei.eq3": 1,
    "vd_ei.pooled": 1,
    "zero_deltas": 1,
}

_N_CATEGORIES = len(CATEGORIES)


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
) -> list[Metric]:
    """Compute all metrics that one layer's swap pairs give, in float64.

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

    Raises:
        ValueError: a state is not finite, lengths differ, or a name is no category.
    """
    codes = category_codes(categories)
    with np.errstate(invalid="ignore"):  # inf - inf: reported below, with the layer and the count
        difference = deltas(orig, swap)
    _check_finite(difference, layer)
    _check_lengths(len(difference), categories=codes, images=images, both_correct=both_correct)
    if weights is None:
        weights = bootstrap_weights(images, n_resamples, seed)
    if weights.ndim != 2 or weights.shape[1] != len(codes):
        raise ValueError(f"weights must be (B, {len(codes)}) for {len(codes)} pairs, got {weights.shape}")

    image_numbers = np.unique(np.asarray(images, dtype=np.str_), return_inverse=True)[1]
    sample = _Sample(difference, _norms(orig), codes, image_numbers, weights)
    subsets = {Subset.ALL: sample}
    if both_correct is not None:
        subsets[Subset.BOTH_CORRECT] = sample.take(np.asarray(both_correct, dtype=bool))
    return [
        metric
        for subset, members in subsets.items()
        for block in _blocks(members)
        for metric in block.metrics(subset, layer, seed)
    ]


@dataclass(frozen=True, slots=True)
class _Sample:
    """The pairs of one subset: (N, D) deltas; (N,) |h(orig)|, category and image numbers; (B, N) weights."""

    deltas: FloatArray
    orig_norms: FloatArray
    codes: IntArray
    images: npt.NDArray[Any]
    weights: npt.NDArray[Any]

    def take(self, rows: BoolArray) -> _Sample:
        """Keep some pairs; images were drawn among all, so the size of a subset varies with the resample."""
        return _Sample(
            self.deltas[rows],
            self.orig_norms[rows],
            self.codes[rows],
            self.images[rows],
            self.weights[:, rows],
        )


@dataclass(frozen=True, slots=True)
class _Block:
    """One metric for K targets; row 0 of the values is the estimate, the rest are resamples."""

    name: str
    targets: Sequence[str]
    values: FloatArray
    n: Sequence[int]
    n_images: Sequence[int]
    std: Sequence[float] | None = None

    def metrics(self, subset: Subset, layer: int, seed: int) -> Iterator[Metric]:
        """Reduce each column to an estimate and an interval."""
        resampled = len(self.values) > 1
        for column, target in enumerate(self.targets):
            value = float(self.values[0, column])
            low, high = nan, nan
            if not np.isnan(value) and self.n_images[column] >= 2:
                low, high = percentile_interval(self.values[1:, column])
            yield Metric(
                name=self.name,
                version=METRIC_VERSIONS[self.name],
                # Plain text: database drivers differ in what they make of an enum.
                subset=str(subset),
                target=str(target),
                layer=layer,
                value=value,
                std=None if self.std is None else self.std[column],
                n=self.n[column],
                ci_low=low if resampled else None,
                ci_high=high if resampled else None,
                seed=seed if resampled else None,
            )


def _blocks(sample: _Sample) -> Iterator[_Block]:
    """Compute each metric of one subset for all its targets and resamples at once."""
    # The data itself is the resample in which every pair occurs once.
    weights = np.vstack([np.ones((1, len(sample.codes)), dtype=sample.weights.dtype), sample.weights])
    units, directed = unit(sample.deltas)
    yield from _direction_blocks(sample.take(directed), units, weights[:, directed])
    yield from _mean_blocks(sample, weights)
    yield from _length_blocks(sample, weights)
    yield _zero_block(sample, directed)


def _direction_blocks(sample: _Sample, units: FloatArray, weights: npt.NDArray[Any]) -> Iterator[_Block]:
    grams = apart(lambda rows: weighted_grams(units, rows, sample.codes), weights)
    squared_norms = np.diagonal(grams, axis1=1, axis2=2)
    totals, squares = (
        weighted_totals(weights, sample.codes),
        weighted_totals(np.square(weights, dtype=np.float64), sample.codes),
    )
    means = weighted_pairwise_cosine(squared_norms, totals, squares)
    n, n_images = _support(sample)
    signed = units * signs([CATEGORIES[code] for code in sample.codes])[:, None]
    std = [pairwise_cosine(signed[rows]).std for rows in _rows_of_targets(sample.codes)]
    for name, targets, part in (
        ("within_category_consistency", CATEGORIES, slice(None, _N_CATEGORIES)),
        ("axis_coherence", AXES, slice(_N_CATEGORIES, None)),
    ):
        yield _Block(name, targets, means[:, part], n[part], n_images[part], std[part])


def _mean_blocks(sample: _Sample, weights: npt.NDArray[Any]) -> Iterator[_Block]:
    grams = apart(lambda rows: weighted_grams(sample.deltas, rows, sample.codes), weights)
    norms = _norms(sample.deltas)
    lengths = apart(lambda rows: weighted_totals(rows * norms, sample.codes), weights)
    similarity = cosines(grams, lengths)
    support = _support(sample)

    places = [(CATEGORIES.index(first), CATEGORIES.index(second)) for first, second in CATEGORY_PAIRS]
    values = np.stack([similarity[:, i, j] for i, j in places], axis=1)
    names = [f"{first}/{second}" for first, second in CATEGORY_PAIRS]
    yield _Block("delta_similarity", names, values, *_support_of_sets(support, places))

    names = [f"{first}/{second}" for first, second in AXIS_PAIRS]
    values = np.stack([vd_ei_eq3(similarity, *axes) for axes in AXIS_PAIRS], axis=1)
    fours = [[CATEGORIES.index(c) for axis in axes for c in axis.categories] for axes in AXIS_PAIRS]
    yield _Block("vd_ei.eq3", names, values, *_support_of_sets(support, fours))
    values = np.stack([vd_ei_pooled(similarity, *axes) for axes in AXIS_PAIRS], axis=1)
    twos = [[_N_CATEGORIES + AXES.index(axis) for axis in axes] for axes in AXIS_PAIRS]
    yield _Block("vd_ei.pooled", names, values, *_support_of_sets(support, twos))


def _length_blocks(sample: _Sample, weights: npt.NDArray[Any]) -> Iterator[_Block]:
    norms = _norms(sample.deltas)
    # |delta| / 0 is no ratio: such a pair is left out of this metric's n.
    based = sample.orig_norms > 0
    for name, lengths, rows in (
        ("delta_norm", norms, np.ones(len(norms), dtype=bool)),
        ("delta_ratio", norms[based] / sample.orig_norms[based], based),
    ):
        members, drawn = sample.take(rows), weights[:, rows]
        counts = weighted_totals(drawn, members.codes)[:, :_N_CATEGORIES]
        sums = _sums_of_categories(drawn, lengths, members.codes)
        means = np.divide(sums, counts, out=np.full(sums.shape, nan), where=counts > 0)
        of_category = _rows_of_targets(members.codes)[:_N_CATEGORIES]
        std = [float(lengths[rows].std()) if rows.any() else nan for rows in of_category]
        n, n_images = _support(members)
        yield _Block(name, CATEGORIES, means, n[:_N_CATEGORIES], n_images[:_N_CATEGORIES], std)


def _sums_of_categories(weights: npt.NDArray[Any], lengths: FloatArray, codes: IntArray) -> FloatArray:
    return apart(lambda rows: weighted_totals(rows * lengths, codes)[:, :_N_CATEGORIES], weights)


def _zero_block(sample: _Sample, directed: BoolArray) -> _Block:
    rows_of_axes = _rows_of_targets(sample.codes)[_N_CATEGORIES:]
    counts = [float((rows & ~directed).sum()) if rows.any() else nan for rows in rows_of_axes]
    n, n_images = _support(sample)
    return _Block("zero_deltas", AXES, np.array([counts]), n[_N_CATEGORIES:], n_images[_N_CATEGORIES:])


def _rows_of_targets(codes: IntArray) -> list[BoolArray]:
    """Mask the pairs of the six categories, then of the three axes."""
    of_category = [codes == code for code in range(_N_CATEGORIES)]
    of_axis = [np.isin(codes, [CATEGORIES.index(category) for category in axis.categories]) for axis in AXES]
    return of_category + of_axis


def _support(sample: _Sample) -> tuple[list[int], list[int]]:
    """Count pairs and distinct images of the six categories, then of the three axes."""
    rows_of = _rows_of_targets(sample.codes)
    return [int(rows.sum()) for rows in rows_of], [len(np.unique(sample.images[rows])) for rows in rows_of]


def _support_of_sets(
    support: tuple[list[int], list[int]], sets: Sequence[Sequence[int]]
) -> tuple[list[int], list[int]]:
    """Count for values made of several targets: all their vectors, or none if one target has none."""
    n, n_images = support
    fewest = [min(n_images[target] for target in members) for members in sets]
    return [
        sum(n[target] for target in members) if few else 0 for members, few in zip(sets, fewest, strict=True)
    ], fewest


def _norms(vectors: npt.NDArray[Any]) -> FloatArray:
    norms: FloatArray = np.linalg.norm(np.asarray(vectors, dtype=np.float64), axis=1)
    return norms


def _check_lengths(n: int, **columns: Sequence[Any] | npt.NDArray[Any] | None) -> None:
    for name, column in columns.items():
        if column is not None and len(column) != n:
            raise ValueError(f"{n} pairs need as many {name}, got {len(column)}")


def _check_finite(difference: FloatArray, layer: int) -> None:
    # A finite difference has finite terms, so one look at it is enough.
    broken = int((~np.isfinite(difference).all(axis=1)).sum())
    if broken:
        raise ValueError(
            f"layer {layer}: {broken} of {len(difference)} pairs have hidden states that are not finite; "
            "extract them again in float32 or bfloat16 (float16 overflows)"
        )
