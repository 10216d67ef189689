"""Measures whether the vertical and distance deltas of the same two objects point the same way."""

from __future__ import annotations

from math import nan, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.catalog import (
    CONSISTENT,
    COUNTER,
    OF_MEANS,
    PER_SAMPLE,
    RANDOM_SIGNS,
    SHUFFLED,
    ZERO_QUADS,
)
from vlmprobe.analysis.catalog import CROSS_AXIS_ALIGNMENT_CANONICAL as CANONICAL
from vlmprobe.analysis.catalog import CROSS_AXIS_ALIGNMENT_PUBLISHED as PUBLISHED
from vlmprobe.analysis.deltas import check_finite, signs, unit
from vlmprobe.analysis.metric_maker import MetricMaker
from vlmprobe.analysis.quad_statistics import (
    SHUFFLE_SEED,
    Quads,
    cosines_of_means,
    flipped_means,
    shuffled_means,
)
from vlmprobe.analysis.resampling import apart, bootstrap_weights, random_signs, sign_flip_p_value
from vlmprobe.pairs.axes import DEPTH, HEIGHT, SPACE, Subset

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.catalog import Entry
    from vlmprobe.analysis.deltas import FloatArray
    from vlmprobe.analysis.results import Metric
    from vlmprobe.pairs.axes import AxisSet

__all__ = ["alignment_metrics"]


def alignment_metrics(
    vertical_deltas: npt.NDArray[Any],
    distance_deltas: npt.NDArray[Any],
    vertical_categories: Sequence[str] | None,
    distance_categories: Sequence[str] | None,
    images: Sequence[str] | None,
    *,
    layer: int,
    both_correct: npt.NDArray[np.bool_] | None = None,
    n_resamples: int = 1000,
    n_flips: int = 10_000,
    seed: int = 42,
    weights: npt.NDArray[Any] | None = None,
    flips: npt.NDArray[np.int8] | None = None,
    axes: AxisSet = SPACE,
) -> list[Metric]:
    """Compute both forms of cross-axis alignment of one layer, in float64.

    ``cross_axis_alignment.published`` takes the deltas as they are, so it follows the share of consistent
    quads. ``cross_axis_alignment.canonical`` negates the deltas of ``below`` and of ``close`` first. With v_i
    and d_i the two deltas of quad i (out of n), their targets are::

        per_sample      mean and std (ddof 0) over i of cos(v_i, d_i)
        of_means        cos(sum_i v_i, sum_i d_i)
        shuffled        mean and std over 100 shuffles of the d_i among the quads, by RandomState(42), of
                        the mean cosine; NaN for n < 2
        random_signs    canonical only: mean (0) and std, in closed form, of ``per_sample`` under random signs

    ``.canonical`` has each also for the quads of one perspective: ``per_sample/consistent``,
    ``per_sample/counter`` and so on. A quad is consistent when the farther object is the higher one, that is,
    (above, far) or (below, close).

    The null of ``.canonical`` is one fair random sign e_g per image g on its distance deltas, B draws,
    p = (1 + #{|T_b| >= |T|}) / (B + 1), of ``per_sample``: T_b = sum_g e_g C_g / n, where C_g sums the image's
    cosines; its mean is 0, its std sqrt(sum_g C_g^2) / n. ``of_means`` has no p-value: signs on the distance
    deltas hold the noise of the vertical mean fixed, and reject far too often. Nor has it an interval.

    ``zero_quads`` (target ``vertical/distance``) counts the quads of which a delta is zero; the rest of the
    metrics leave them out of all sums and counts, as the reference does.

    The old ``cross_alignment_{scale}.json`` is ``.published`` of subset ``all``: ``per_sample_mean``,
    ``per_sample_std`` and ``n_samples`` are value, std and n of ``per_sample``, ``mean_delta_alignment`` the
    value of ``of_means``, ``permutation_mean`` and ``permutation_std`` value and std of ``shuffled``.

    Every target is present: without data its value is NaN and its n 0. The interval (bootstrap over images)
    is NaN where the quads come from fewer than two images or where fewer than half of the resamples define
    the value.

    Args:
        vertical_deltas: (N, D) deltas of the vertical halves, any float dtype.
        distance_deltas: (N, D) deltas of the distance halves, row for row.
        vertical_categories: N of above, below; None if unknown, then ``.canonical`` has no data.
        distance_categories: N of far, close; None if unknown.
        images: N image names or hashes; None if unknown, then intervals and p-values are None.
        layer: the layer's number, 0 = the first; goes into the result.
        both_correct: (N,) mask of the quads with all four answers right; without it only ``all``.
        n_resamples: bootstrap resamples, unless ``weights`` are given; 0 leaves the intervals None.
        n_flips: B of the null, unless ``flips`` are given; 0 leaves the p-values None.
        seed: of bootstrap and null; goes into the result.
        weights: (R, N) from ``bootstrap_weights(images, R, seed)``, to draw once for all layers.
        flips: (B, N) from ``random_signs(images, B, seed)``, to draw once for all layers.
        axes: the set that the categories are of; it has height and depth.

    Raises:
        ValueError: a delta is not finite, shapes or lengths differ, or a category is not of its axis.
    """
    vertical, distance = _checked(vertical_deltas, distance_deltas, layer)
    n = len(vertical)
    known = vertical_categories is not None and distance_categories is not None
    vertical_signs = _signs_on(HEIGHT, vertical_categories, n, axes)
    distance_signs = _signs_on(DEPTH, distance_categories, n, axes)
    for name, column in (("images", images), ("both_correct", both_correct)):
        if column is not None and len(column) != n:
            raise ValueError(f"{n} quads need {n} {name}, got {len(column)}")
    if images is None:
        images, n_resamples, n_flips = [""] * n, 0, 0
    if weights is None:
        weights = bootstrap_weights(images, n_resamples, seed)
    if flips is None:
        flips = random_signs(images, n_flips, seed)
    for name, drawn in (("weights", weights), ("flips", flips)):
        if drawn.ndim != 2 or drawn.shape[1] != n:
            raise ValueError(f"{name} must be (B, {n}) for {n} quads, got {drawn.shape}")

    numbers = np.unique(np.asarray(images, dtype=np.str_), return_inverse=True)[1]
    everything = Quads(vertical, distance, vertical_signs, distance_signs, numbers, weights, flips)
    subsets = {Subset.ALL: everything}
    if both_correct is not None:
        subsets[Subset.BOTH_CORRECT] = everything.select(np.asarray(both_correct, dtype=bool))
    return [
        metric
        for subset, quads in subsets.items()
        for metric in _subset_metrics(quads, known, MetricMaker(subset, layer, seed))
    ]


def _subset_metrics(quads: Quads, known: bool, maker: MetricMaker) -> Iterator[Metric]:
    directed = unit(quads.vertical)[1] & unit(quads.distance)[1]
    n = len(directed)
    n_zero = float((~directed).sum()) if n else nan
    yield maker.metric(ZERO_QUADS, f"{HEIGHT}/{DEPTH}", n_zero, n)
    quads = quads.select(directed).in_fewer_dimensions()
    yield from _set_metrics(PUBLISHED, "", quads, maker)
    consistent = quads.vertical_signs == quads.distance_signs
    canonical = quads.sign_corrected()
    for suffix, rows in (
        ("", np.ones_like(consistent)),
        (f"/{CONSISTENT}", consistent),
        (f"/{COUNTER}", ~consistent),
    ):
        yield from _set_metrics(CANONICAL, suffix, canonical.select(rows & known), maker)


def _set_metrics(entry: Entry, suffix: str, quads: Quads, maker: MetricMaker) -> Iterator[Metric]:
    """Compute the targets of one set of quads, of which no delta is zero."""
    n = len(quads.images)
    vertical_units, distance_units = unit(quads.vertical)[0], unit(quads.distance)[0]
    cosine_of_quad = np.einsum("ij,ij->i", vertical_units, distance_units)
    weights = np.vstack([np.ones((1, n)), quads.weights])
    totals = weights.sum(axis=1)
    sums = apart(lambda rows: rows @ cosine_of_quad, weights)
    per_sample = np.divide(sums, totals, out=np.full(len(totals), nan), where=totals > 0)
    of_means = apart(lambda rows: cosines_of_means(quads, rows), weights)
    p_values = None
    if entry is CANONICAL and len(quads.flips):
        flipped = flipped_means(quads, cosine_of_quad)
        p_values = [sign_flip_p_value(flipped[0], flipped[1:]), None]
    yield from maker.metrics(
        entry,
        [f"{PER_SAMPLE}{suffix}", f"{OF_MEANS}{suffix}"],
        np.stack([per_sample, of_means], axis=1),
        [n, n],
        [len(np.unique(quads.images))] * 2,
        std=[float(cosine_of_quad.std()) if n else nan, None],
        p_values=p_values,
    )
    mean, std = shuffled_means(vertical_units, distance_units)
    yield maker.metric(entry, f"{SHUFFLED}{suffix}", mean, n, std=std, seed=SHUFFLE_SEED)
    if entry is CANONICAL:
        of_image = np.bincount(quads.images, weights=cosine_of_quad)
        value, std = (0.0, sqrt(float(of_image @ of_image)) / n) if n else (nan, nan)
        yield maker.metric(entry, f"{RANDOM_SIGNS}{suffix}", value, n, std=std)


def _signs_on(axis: str, categories: Sequence[str] | None, n: int, axes: AxisSet) -> FloatArray:
    if categories is None:
        return np.ones(n)
    if len(categories) != n:
        raise ValueError(f"{n} quads need {n} {axis} categories, got {len(categories)}")
    strange = sorted({str(name) for name in categories if axes.category(name).axis != axis})
    if strange:
        known = " or ".join(axes.axis(axis).categories)
        raise ValueError(f"the {axis} half of a quad must be {known}, not {', '.join(strange)}")
    return signs(categories, axes)


def _checked(
    vertical: npt.NDArray[Any], distance: npt.NDArray[Any], layer: int
) -> tuple[FloatArray, FloatArray]:
    if np.ndim(vertical) != 2 or np.shape(vertical) != np.shape(distance):
        raise ValueError(
            "vertical and distance deltas must be (N, D) arrays of one shape, "
            f"got {np.shape(vertical)} and {np.shape(distance)}"
        )
    first, second = np.asarray(vertical, dtype=np.float64), np.asarray(distance, dtype=np.float64)
    check_finite(np.hstack([first, second]), "quads", layer=layer)
    return first, second
