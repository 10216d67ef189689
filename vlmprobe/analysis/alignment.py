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
from vlmprobe.analysis.deltas import check_finite, signs
from vlmprobe.analysis.inference import clustered_mean, wild_p_values
from vlmprobe.analysis.inference.wild import N_DRAWS
from vlmprobe.analysis.metric_maker import MetricMaker
from vlmprobe.analysis.quad_statistics import (
    SHUFFLE_SEED,
    Quads,
    QuadSet,
    symmetry_p_value,
)
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
    n_draws: int = N_DRAWS,
    seed: int = 42,
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

    ``.canonical`` has two p-values, each from B draws of fair signs e_g, one an image::

        per_sample      sum_g e_g C_g / n against the mean cosine, C_g the image's cosines summed: exact if they are
                        symmetric about 0; the mean of the draws is 0, their std sqrt(sum_g C_g^2) / n
        of_means        the wild test of the inner product of the two means over different images. Signs on the
                        distance deltas would hold the noise of the vertical mean fixed, and reject far too often.

    The interval of ``per_sample`` is a jackknife over images; ``of_means`` has none, since noise biases it.

    ``zero_quads`` (target ``vertical/distance``) counts the quads of which a delta is zero; the rest of the
    metrics leave them out of all sums and counts, as the reference does.

    The old ``cross_alignment_{scale}.json`` is ``.published`` of subset ``all``: ``per_sample_mean``,
    ``per_sample_std`` and ``n_samples`` are value, std and n of ``per_sample``, ``mean_delta_alignment`` the
    value of ``of_means``, ``permutation_mean`` and ``permutation_std`` value and std of ``shuffled``.

    Every target is present: without data its value is NaN and its n 0.

    Args:
        vertical_deltas: (N, D) deltas of the vertical halves, any float dtype.
        distance_deltas: (N, D) deltas of the distance halves, row for row.
        vertical_categories: N of above, below; None if unknown, then ``.canonical`` has no data.
        distance_categories: N of far, close; None if unknown.
        images: N image names or hashes; None if unknown, then intervals and p-values are None.
        layer: the layer's number, 0 = the first; goes into the result.
        both_correct: (N,) mask of the quads with all four answers right; without it only ``all``.
        n_draws: B; 0 leaves the p-values None.
        seed: of the signs, the same in every layer; goes into the result.
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
    right = np.ones(n, dtype=bool) if both_correct is None else np.asarray(both_correct, dtype=bool)
    directed = np.any(vertical != 0, axis=1) & np.any(distance != 0, axis=1)
    quads = Quads(
        vertical[directed],
        distance[directed],
        (vertical_signs[directed], distance_signs[directed]),
        None if images is None else np.asarray(images, dtype=np.str_)[directed],
        right[directed],
    )
    metrics: list[Metric] = []
    for subset in (Subset.ALL,) if both_correct is None else Subset:
        maker, only_right = MetricMaker(subset, layer, seed), subset is Subset.BOTH_CORRECT
        inside = right if only_right else np.ones(n, dtype=bool)
        n_zero = float((inside & ~directed).sum()) if inside.any() else nan
        metrics.append(maker.metric(ZERO_QUADS, f"{HEIGHT}/{DEPTH}", n_zero, int(inside.sum())))
        for entry, suffix, perspectives in (
            (PUBLISHED, "", (True, True)),
            (CANONICAL, "", (True, True)),
            (CANONICAL, f"/{CONSISTENT}", (True, False)),
            (CANONICAL, f"/{COUNTER}", (False, True)),
        ):
            is_signed = entry is CANONICAL
            members = quads.consistent if perspectives == (True, False) else ~quads.consistent
            chosen = (members | all(perspectives)) & inside[directed] & (known or not is_signed)
            kinds = [
                has and (is_right or not only_right) for has in perspectives for is_right in (True, False)
            ]
            one_set = QuadSet(
                quads, np.flatnonzero(chosen), is_signed, (kinds[0], kinds[1], kinds[2], kinds[3])
            )
            metrics += _set_metrics(entry, suffix, one_set, maker, n_draws)
    return metrics


def _set_metrics(
    entry: Entry, suffix: str, quads: QuadSet, maker: MetricMaker, n_draws: int
) -> Iterator[Metric]:
    """Compute the targets of one set of quads."""
    n, n_images, cosines = quads.n, quads.n_images, quads.cosines
    p_values: tuple[float | None, float | None] = None, None
    if entry is CANONICAL and quads.images is not None and n and n_draws:
        p_values = (
            symmetry_p_value(quads, seed=maker.seed, n_draws=n_draws),
            wild_p_values([quads.product_of_means()], seed=maker.seed, n_draws=n_draws)[0],
        )
    yield maker.published(
        entry,
        f"{PER_SAMPLE}{suffix}",
        float(cosines.mean()) if n else nan,
        n,
        n_images,
        std=float(cosines.std()) if n else nan,
        estimate=None if quads.images is None else clustered_mean(cosines, quads.images).estimate(),
        p_value=p_values[0],
    )
    of_means = quads.cosine_of_means()
    yield maker.published(entry, f"{OF_MEANS}{suffix}", of_means, n, n_images, p_value=p_values[1])
    mean, std = quads.shuffled_means()
    yield maker.metric(entry, f"{SHUFFLED}{suffix}", mean, n, std=std, seed=SHUFFLE_SEED)
    if entry is CANONICAL:
        sums = quads.image_sums()
        std = sqrt(float(sums @ sums)) / n if n else nan
        yield maker.metric(entry, f"{RANDOM_SIGNS}{suffix}", 0.0 if n else nan, n, std=std)


def _signs_on(axis: str, categories: Sequence[str] | None, n: int, axes: AxisSet) -> FloatArray:
    if categories is None:
        return np.ones(n)
    if len(categories) != n:
        raise ValueError(f"{n} quads need {n} {axis} categories, got {len(categories)}")
    strange = sorted({str(name) for name in set(categories) if axes.category(name).axis != axis})
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
    # A row's sum is finite if its numbers are; few rows are looked at twice.
    with np.errstate(invalid="ignore", over="ignore"):
        sums = first.sum(axis=1) + second.sum(axis=1)
    doubtful = ~np.isfinite(sums)
    if doubtful.any():
        both = np.hstack([first, second])
        check_finite(np.where(doubtful[:, None], both, 0.0), "quads", layer=layer)
    return first, second
