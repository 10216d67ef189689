"""VD-EI of distance pairs whose farther object is the higher one, of those where it is the lower one, and the gap.

A benchmark mixes the two halves in some share, and an angle over all of them may follow that share. The halves differ
in size, so that noise shortens plug-in values of them differently: these are corrected.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis import catalog
from vlmprobe.analysis.axis_metrics import n_vectors
from vlmprobe.analysis.deltas import category_codes
from vlmprobe.analysis.entanglement import axis_pairs
from vlmprobe.analysis.geometry import (
    Effect,
    Layout,
    axis_effect,
    corrected_cosine,
    pooled_coherence,
    sums_of_swaps,
)
from vlmprobe.analysis.inference import contrast
from vlmprobe.analysis.metric_maker import MetricMaker
from vlmprobe.pairs.axes import DEPTH, SPACE, Subset

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.geometry import DeltaSums, Products
    from vlmprobe.analysis.inference import Estimate, Statistic
    from vlmprobe.analysis.results import Metric
    from vlmprobe.pairs.axes import AxisSet

__all__ = ["PerspectiveAxes", "PerspectivesOfLayer"]

_HALVES = (catalog.CONSISTENT, catalog.COUNTER)
#: Kinds of pairs of a category: of either half, or of neither; both answers right, or not.
_KINDS = 2 * (len(_HALVES) + 1)


@dataclass(frozen=True, slots=True)
class PerspectivesOfLayer:
    """The halves of one layer."""

    metrics: list[Metric]
    coherence: dict[tuple[Subset, str], Estimate]
    """(subset, half) -> the mean cosine of the half's sign-corrected deltas, over pairs of different images."""


class PerspectiveAxes:
    """The halves of the distance axis in many layers of the same pairs."""

    def __init__(
        self,
        categories: Sequence[str],
        perspectives: Sequence[str | None],
        images: Sequence[str],
        *,
        both_correct: npt.NDArray[np.bool_] | None = None,
        axes: AxisSet = SPACE,
    ) -> None:
        """Sort the pairs into groups.

        Args:
            categories: N category names, of all axes.
            perspectives: N of consistent, counter, or anything else for neither; those of distance pairs count.
            images: N image names or hashes.
            both_correct: (N,) mask of the pairs with both answers right; without it only ``all`` is computed.
            axes: the set that the categories are of; it has a distance axis.

        Raises:
            ValueError: the lengths differ, or a name is no category.
        """
        codes = category_codes(categories, axes)
        right = (
            np.ones(len(codes), dtype=bool) if both_correct is None else np.asarray(both_correct, dtype=bool)
        )
        if not len(codes) == len(perspectives) == len(images) == len(right):
            raise ValueError(f"{len(codes)} pairs need one perspective, image and flag each")
        halves = [_HALVES.index(name) if name in _HALVES else len(_HALVES) for name in perspectives]
        self._axes = axes
        self._subsets = [Subset.ALL] if both_correct is None else [Subset.ALL, Subset.BOTH_CORRECT]
        depth, n = axes.axes.index(axes.axis(DEPTH)), len(axes.categories)
        self._depth = 2 * depth, 2 * depth + 1
        # Two kinds of pairs of each category, then, of far and close, two of each half and of neither.
        groups = 2 * codes + ~right
        of_depth = codes // 2 == depth
        places = _KINDS * (codes % 2) + 2 * np.array(halves, dtype=np.int64) + ~right
        groups[of_depth] = 2 * n + places[of_depth]
        self.layout = Layout(groups, images, 2 * n + 2 * _KINDS)
        self._consistent, self._counter = Effect((n, n + 1), (0.5, -0.5)), Effect((n + 2, n + 3), (0.5, -0.5))
        self._equal = Effect((n, n + 1, n + 2, n + 3), (0.25, -0.25, 0.25, -0.25))
        self._others = [axes.axes.index(other) for other, axis in axis_pairs(axes) if axis == DEPTH]

    def __call__(self, orig: npt.NDArray[Any], swap: npt.NDArray[Any], *, layer: int) -> PerspectivesOfLayer:
        """Compute one layer; what is missing, as of ``AxisMetrics``.

        Args:
            orig: (N, D) finite states of the original questions, any float dtype.
            swap: (N, D) states of the swapped questions.
            layer: the layer's number; goes into the result.

        Raises:
            ValueError: there are not as many states as pairs.
        """
        return self.of_sums(sums_of_swaps(orig, swap, self.layout), layer=layer)

    def of_sums(self, sums: DeltaSums, *, layer: int) -> PerspectivesOfLayer:
        """Compute the same from the sums of one layer by ``layout``."""
        metrics: list[Metric] = []
        coherence = {}
        for subset in self._subsets:
            members = self._members(subset)
            metrics += self._metrics(sums.raw.products(members), MetricMaker(subset, layer, 0))
            # As if each half were an axis of its own.
            of_halves = members[len(self._axes.categories) :]
            for place, half in enumerate(_HALVES):
                coherence[subset, half] = pooled_coherence(sums.units, place, of_halves).estimate()
        return PerspectivesOfLayer(metrics, coherence)

    def _members(self, subset: Subset) -> npt.NDArray[np.float64]:
        """Return (C + 4, T) the groups of each category, then of each half those of far and close."""
        n = len(self._axes.categories)
        of_kind = [1.0, float(subset is not Subset.BOTH_CORRECT)]
        members = np.zeros((n + 2 * len(_HALVES), 2 * n + 2 * _KINDS))
        for code in range(n):
            members[code, 2 * code : 2 * code + 2] = of_kind
        for end, code in enumerate(self._depth):
            first = 2 * n + end * _KINDS
            members[code] = 0.0
            members[code, first : first + _KINDS] = of_kind * (_KINDS // 2)
            for half in range(len(_HALVES)):
                members[n + 2 * half + end, first + 2 * half : first + 2 * half + 2] = of_kind
        return members

    def _metrics(self, products: Products, maker: MetricMaker) -> Iterator[Metric]:
        others = [axis_effect(other) for other in self._others]
        targets = catalog.VD_EI_CONSISTENT.targets(self._axes)
        halves: list[list[Statistic]] = []
        for entry, effect in (
            (catalog.VD_EI_CONSISTENT, self._consistent),
            (catalog.VD_EI_COUNTER, self._counter),
            (catalog.VD_EI_EQUAL, self._equal),
        ):
            found = [corrected_cosine(products, other, effect) for other in others]
            if entry is catalog.VD_EI_EQUAL:
                # Of a half that has no angle, the mean of both says no more than all pairs do.
                found = [
                    replace(each, value=nan, reason=reason)
                    if (reason := one.reason or other.reason)
                    else each
                    for each, one, other in zip(found, *halves, strict=True)
                ]
            halves.append(found)
            for target, other, cosine in zip(targets, others, found, strict=True):
                n = n_vectors(products, other, effect)
                yield maker.estimated(entry, target, cosine.estimate(), n)
        for target, other, consistent, counter in zip(targets, others, *halves[:2], strict=True):
            n = n_vectors(products, other, self._consistent, self._counter)
            gap = contrast([consistent, counter], [1.0, -1.0]).estimate()
            yield maker.estimated(catalog.VD_EI_GAP, target, gap, n)
