"""Compares distance pairs by perspective: whether far and close look alike when image height misleads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.catalog import AXIS_COHERENCE_PERSPECTIVE, CONSISTENT, COUNTER, PERSPECTIVE_COSINE
from vlmprobe.analysis.coherence import PairwiseCosine, pairwise_cosine, weighted_pairwise_cosine
from vlmprobe.analysis.deltas import check_finite, sign_corrected, unit
from vlmprobe.analysis.entanglement import cosines
from vlmprobe.analysis.metric_maker import MetricMaker
from vlmprobe.analysis.resampling import apart, bootstrap_weights
from vlmprobe.pairs.axes import DEPTH, SPACE, Subset

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import BoolArray, FloatArray
    from vlmprobe.analysis.results import Metric
    from vlmprobe.pairs.axes import AxisSet

__all__ = ["perspective_metrics"]

#: The two halves that are compared.
_HALVES = (CONSISTENT, COUNTER)
_PERSPECTIVES = (*_HALVES, "ambiguous", None)


def perspective_metrics(
    deltas: npt.NDArray[Any],
    categories: Sequence[str],
    perspectives: Sequence[str | None],
    images: Sequence[str],
    *,
    layer: int,
    both_correct: npt.NDArray[np.bool_] | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
    weights: npt.NDArray[Any] | None = None,
    axes: AxisSet = SPACE,
) -> list[Metric]:
    """Compare the distance pairs of the two perspectives in one layer, in float64.

    A pair is consistent when the farther object is the higher one in the image, counter when it is the lower.
    With s the sign-corrected deltas::

        axis_coherence.perspective    mean and std (ddof 0) of cos(s_i, s_j) over pairs i < j of one half;
                                      targets distance/consistent, distance/counter; zero deltas left out
        perspective_cosine            cosine of the two halves' mean s; target consistent/counter

    Every target is present: without data its value is NaN and its n 0; ``perspective_cosine`` needs both
    halves, and its n counts both. The interval (bootstrap over images) is NaN where a half's pairs come from
    fewer than two images or where fewer than half of the resamples define the value, and None if there are
    no resamples.

    Args:
        deltas: (N, D) deltas of distance pairs, any float dtype, not sign-corrected.
        categories: N of far, close.
        perspectives: N of consistent, counter, ambiguous or None (no boxes); the last two are left out.
        images: N image names or hashes: the units of the bootstrap.
        layer: the layer's number, 0 = the first; goes into the result.
        both_correct: (N,) mask of the pairs with both answers right; without it only ``all`` is computed.
        n_resamples: B, unless ``weights`` are given.
        seed: of the bootstrap; goes into the result.
        weights: (B, N) from ``bootstrap_weights(images, B, seed)``, to draw once for all layers.
        axes: the set that the categories are of; it has a distance axis.

    Raises:
        ValueError: a delta is not finite, lengths differ, or a category or perspective is none of these.
    """
    signed = _checked(deltas, categories, perspectives, layer, axes)
    n = len(signed)
    for name, column in (("images", images), ("both_correct", both_correct)):
        if column is not None and len(column) != n:
            raise ValueError(f"{n} pairs need {n} {name}, got {len(column)}")
    if weights is None:
        weights = bootstrap_weights(images, n_resamples, seed)
    if weights.ndim != 2 or weights.shape[1] != n:
        raise ValueError(f"weights must be (B, {n}) for {n} pairs, got {weights.shape}")
    # The data itself is the resample in which every pair occurs once.
    weights = np.vstack([np.ones((1, n)), weights])

    halves = [np.array([name == half for name in perspectives], dtype=bool) for half in _HALVES]
    subsets = {Subset.ALL: np.ones(n, dtype=bool)}
    if both_correct is not None:
        subsets[Subset.BOTH_CORRECT] = np.asarray(both_correct, dtype=bool)
    names = np.asarray(images, dtype=np.str_)
    return [
        metric
        for subset, members in subsets.items()
        for metric in _metrics(
            signed,
            [half & members for half in halves],
            names,
            weights,
            MetricMaker(subset, layer, seed),
            axes,
        )
    ]


def _metrics(
    signed: FloatArray,
    halves: Sequence[BoolArray],
    images: npt.NDArray[np.str_],
    weights: FloatArray,
    maker: MetricMaker,
    axes: AxisSet,
) -> Iterator[Metric]:
    directed = unit(signed)[1]
    for target, rows in zip(AXIS_COHERENCE_PERSPECTIVE.targets(axes), halves, strict=True):
        means, cosine = _coherence(signed[rows], weights[:, rows])
        n_images = len(np.unique(images[rows & directed]))
        yield from maker.metrics(
            AXIS_COHERENCE_PERSPECTIVE, [target], means[:, None], [cosine.n], [n_images], std=[cosine.std]
        )
    values = apart(lambda drawn: _cosines_of_means(signed, halves, drawn), weights)
    counts = [int(rows.sum()) for rows in halves]
    n, n_images = sum(counts) if min(counts) else 0, min(len(np.unique(images[rows])) for rows in halves)
    yield from maker.metrics(
        PERSPECTIVE_COSINE, PERSPECTIVE_COSINE.targets(axes), values[:, None], [n], [n_images]
    )


def _cosines_of_means(signed: FloatArray, halves: Sequence[BoolArray], weights: FloatArray) -> FloatArray:
    sums = [weights[:, rows] @ signed[rows] for rows in halves]
    lengths = [weights[:, rows] @ np.linalg.norm(signed[rows], axis=1) for rows in halves]
    grams = np.stack([[np.einsum("ij,ij->i", first, second) for second in sums] for first in sums])
    return cosines(grams.transpose(2, 0, 1), np.stack(lengths, axis=1))[:, 0, 1]


def _coherence(deltas: FloatArray, weights: FloatArray) -> tuple[FloatArray, PairwiseCosine]:
    units, kept = unit(deltas)
    drawn = weights[:, kept]
    squared_norms = apart(lambda rows: np.square(rows @ units).sum(axis=1), drawn)
    means = weighted_pairwise_cosine(squared_norms, drawn.sum(axis=1), np.square(drawn).sum(axis=1))
    return means, pairwise_cosine(units)


def _checked(
    deltas: npt.NDArray[Any],
    categories: Sequence[str],
    perspectives: Sequence[str | None],
    layer: int,
    axes: AxisSet,
) -> FloatArray:
    """Validate the arguments and return the sign-corrected deltas."""
    signed = sign_corrected(deltas, categories, axes)
    if len(perspectives) != len(signed):
        raise ValueError(f"{len(signed)} pairs need one perspective each, got {len(perspectives)}")
    strange = sorted({str(name) for name in categories if axes.category(name).axis != DEPTH})
    if strange:
        known = ", ".join(axes.axis(DEPTH).categories)
        raise ValueError(f"only {DEPTH} pairs ({known}) have a perspective, not {', '.join(strange)}")
    unknown = sorted({str(name) for name in perspectives if name not in _PERSPECTIVES})
    if unknown:
        raise ValueError(
            f"unknown perspective {', '.join(unknown)}; known: consistent, counter, ambiguous, None"
        )
    check_finite(signed, "pairs", layer=layer)
    return signed
