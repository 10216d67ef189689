"""Compares distance pairs by perspective: whether far and close look alike when image height misleads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.catalog import AXIS_COHERENCE_PERSPECTIVE, CONSISTENT, COUNTER, PERSPECTIVE_COSINE
from vlmprobe.analysis.coherence import cosine_of_gram, pairwise_cosine
from vlmprobe.analysis.deltas import check_finite, sign_corrected, unit
from vlmprobe.analysis.entanglement import cosines
from vlmprobe.analysis.metric_maker import MetricMaker
from vlmprobe.pairs.axes import DEPTH, SPACE, Subset

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.coherence import PairwiseCosine
    from vlmprobe.analysis.deltas import BoolArray, FloatArray, IntArray
    from vlmprobe.analysis.inference import Estimate
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
    coherence: Mapping[tuple[Subset, str], Estimate] | None = None,
    axes: AxisSet = SPACE,
) -> list[Metric]:
    """Compare the distance pairs of the two perspectives in one layer, in float64.

    A pair is consistent when the farther object is the higher one in the image, counter when it is the lower.
    With s the sign-corrected deltas::

        axis_coherence.perspective    mean and std (ddof 0) of cos(s_i, s_j) over pairs i < j of one half;
                                      targets distance/consistent, distance/counter; zero deltas left out
        perspective_cosine            cosine of the two halves' mean s; target consistent/counter

    Every target is present: without data its value is NaN and its n 0; ``perspective_cosine`` needs both
    halves, and its n counts both. It has no interval, since noise biases it.

    Args:
        deltas: (N, D) deltas of distance pairs, any float dtype, not sign-corrected.
        categories: N of far, close.
        perspectives: N of consistent, counter, ambiguous or None (no boxes); the last two are left out.
        images: N image names or hashes: the units of the jackknife.
        layer: the layer's number, 0 = the first; goes into the result.
        both_correct: (N,) mask of the pairs with both answers right; without it only ``all`` is computed.
        coherence: (subset, half) -> the jackknife estimate of the half's coherence, for its interval
            (``PerspectiveAxes``); None = no intervals.
        axes: the set that the categories are of; it has a distance axis.

    Raises:
        ValueError: a delta is not finite, lengths differ, or a category or perspective is none of these.
    """
    signed = _checked(deltas, categories, perspectives, layer, axes)
    n = len(signed)
    for name, column in (("images", images), ("both_correct", both_correct)):
        if column is not None and len(column) != n:
            raise ValueError(f"{n} pairs need {n} {name}, got {len(column)}")
    halves = [np.array([name == half for name in perspectives], dtype=bool) for half in _HALVES]
    subsets = {Subset.ALL: np.ones(n, dtype=bool)}
    if both_correct is not None:
        subsets[Subset.BOTH_CORRECT] = np.asarray(both_correct, dtype=bool)
    numbers = np.unique(np.asarray(images, dtype=np.str_), return_inverse=True)[1]
    units, directed = unit(signed)
    lengths = np.linalg.norm(signed, axis=1)
    directions = [_Directions(units[half[directed]], half & directed) for half in halves]
    return [
        metric
        for subset, members in subsets.items()
        for metric in _metrics(
            signed,
            lengths,
            directions,
            members,
            [half & members for half in halves],
            numbers,
            None if coherence is None else [coherence[subset, half] for half in _HALVES],
            MetricMaker(subset, layer, seed=0),
            axes,
        )
    ]


class _Directions:
    """The directions of one half."""

    def __init__(self, units: FloatArray, rows: BoolArray) -> None:
        """Multiply them with one another, where they are no more than their dimensions: subsets share the products.

        Args:
            units: (n, D) sign-corrected vectors of length 1.
            rows: (N,) which pairs they are of.
        """
        self._units, self._rows = units, rows
        self._gram: FloatArray | None = units @ units.T if len(units) <= units.shape[1] else None

    def cosine(self, members: BoolArray) -> PairwiseCosine:
        """Average the cosine over the pairs among (N,) members."""
        inside = members[self._rows]
        if self._gram is None:
            return pairwise_cosine(self._units[inside])
        return cosine_of_gram(self._gram[inside][:, inside])


def _metrics(
    signed: FloatArray,
    lengths: FloatArray,
    directions: Sequence[_Directions],
    members: BoolArray,
    halves: Sequence[BoolArray],
    images: IntArray,
    coherence: Sequence[Estimate] | None,
    maker: MetricMaker,
    axes: AxisSet,
) -> Iterator[Metric]:
    directed = lengths > 0
    targets = AXIS_COHERENCE_PERSPECTIVE.targets(axes)
    for place, (target, rows) in enumerate(zip(targets, halves, strict=True)):
        kept = rows & directed
        cosine = directions[place].cosine(members)
        n_images = len(np.unique(images[kept]))
        yield maker.published(
            AXIS_COHERENCE_PERSPECTIVE,
            target,
            cosine.mean,
            cosine.n,
            n_images,
            std=cosine.std,
            estimate=None if coherence is None else coherence[place],
        )
    counts = [int(rows.sum()) for rows in halves]
    n, n_images = sum(counts) if min(counts) else 0, min(len(np.unique(images[rows])) for rows in halves)
    inside = np.stack(halves).astype(np.float64)
    sums = inside @ signed
    value = float(cosines(sums @ sums.T, inside @ lengths)[0, 1])
    yield maker.published(PERSPECTIVE_COSINE, PERSPECTIVE_COSINE.targets(axes)[0], value, n, n_images)


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
    strange = sorted({str(name) for name in set(categories) if axes.category(name).axis != DEPTH})
    if strange:
        known = ", ".join(axes.axis(DEPTH).categories)
        raise ValueError(f"only {DEPTH} pairs ({known}) have a perspective, not {', '.join(strange)}")
    unknown = sorted({str(name) for name in set(perspectives) if name not in _PERSPECTIVES})
    if unknown:
        raise ValueError(
            f"unknown perspective {', '.join(unknown)}; known: consistent, counter, ambiguous, None"
        )
    check_finite(signed, "pairs", layer=layer)
    return signed
