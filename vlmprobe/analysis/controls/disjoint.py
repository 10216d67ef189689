"""Object-disjoint readings: products only of pairs that share no object's name and no image.

What a state does with one object comes back in every pair about it, so that products of pairs that share an object
hold it although their images differ. With D_ij = 1 where pairs i and j share neither a name nor an image::

    P_tu = sum_{i in t, j in u} D_ij x_i . x_j / sum_{i in t, j in u} D_ij

is a U-statistic over the pairs of pairs that are left, and without bias for objects that are drawn at random. Leaving
out one pair gives its influence e_i. Pairs that share something are not independent, and which do is known::

    se^2 = sum_ij (1 - D_ij) e_i e_j

(dyadic clusters: Fafchamps and Gubert, Journal of Development Economics 83, 2007; Aronow, Samii and Assenova,
Political Analysis 23, 2015). That form may come out too small, even below 0, so the sum over images alone is its floor.
N^2 / sum_ij (1 - D_ij) is what the N pairs are worth in independent clusters of one size: of G images it is G. One
less are the degrees of freedom.
"""

from __future__ import annotations

from dataclasses import replace
from math import isfinite, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.controls.deltas import asked
from vlmprobe.analysis.controls.probe import NO_NAMES
from vlmprobe.analysis.geometry import Layout, axis_effect, corrected_cosine, inner_product
from vlmprobe.analysis.geometry.products import Products
from vlmprobe.analysis.inference import Estimate
from vlmprobe.analysis.inference.estimate import upper_quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import BoolArray, FloatArray
    from vlmprobe.analysis.inference import Statistic

__all__ = ["NO_INTERVAL", "TOO_FEW_OBJECTS", "DisjointPairs"]

#: Below this the t quantile stands for a spread of which next to nothing is known.
_MIN_CLUSTERS = 5
#: Pairs of an axis, of which every two are compared: a third of a GiB.
_MOST_PAIRS = 5000
TOO_MANY = f"more than {_MOST_PAIRS} pairs on an axis: too many to compare every two of them"
NO_INTERVAL = "an interval of this value need not cover, so none is given"
TOO_FEW_OBJECTS = (
    f"pairs share so many objects that they are worth fewer than {_MIN_CLUSTERS} independent ones"
)


class DisjointPairs:
    """The N pairs of one axis: which of them share nothing."""

    def __init__(
        self,
        canonical: Sequence[bool] | BoolArray,
        images: Sequence[str],
        objects: Sequence[tuple[str, str]] | None,
    ) -> None:
        """Compare the pairs.

        Args:
            canonical: (N,) whether the pair is of the canonical category.
            images: N names of images, or of what else belongs together.
            objects: the names of each pair's two objects, spelled alike; None if they are not known.

        Raises:
            ValueError: the lengths differ.
        """
        self._opposite = (~np.asarray(canonical, dtype=bool)).astype(np.int64)
        self._images = list(images)
        named = [] if objects is None else objects
        if len(self._opposite) != len(images) or (objects is not None and len(named) != len(images)):
            raise ValueError("every pair needs a category, an image and two objects")
        #: Why there is no number.
        self._reason = NO_NAMES if objects is None else TOO_MANY if len(images) > _MOST_PAIRS else ""
        if self._reason:
            return
        of_image = np.unique(np.array(self._images, dtype=np.str_), return_inverse=True)[1]
        ends = np.unique(np.array(named, dtype=np.str_), return_inverse=True)[1].reshape(-1, 2)
        self._same_image: BoolArray = of_image[:, None] == of_image
        self._shares = self._same_image.copy()
        for one in ends.T:
            for other in ends.T:
                self._shares |= one[:, None] == other

    def coherence(self, vectors: npt.NDArray[Any]) -> Estimate:
        """Estimate the mean cosine of sign-corrected vectors of pairs that share nothing, both categories alike.

        Args:
            vectors: (N, D), not sign-corrected; a row of NaN is a pair that was not asked, one of zeros has no
                direction. Both are left out.
        """
        if self._reason:
            return Estimate(None, 0, reason=self._reason)
        deltas = np.asarray(vectors, dtype=np.float64)
        inside = asked(deltas)
        lengths = np.linalg.norm(np.where(inside[:, None], deltas, 0.0), axis=1)
        kept = np.flatnonzero(inside & (lengths > 0))
        read = self._of(kept)
        return read.size((deltas[kept] / lengths[kept, None])[None])

    def cosine(self, first: npt.NDArray[Any], second: npt.NDArray[Any]) -> Estimate:
        """Estimate the corrected cosine of two axes of the same pairs, from pairs that share nothing; a value alone.

        Its interval covered .81 to .91 in simulations of strong axes of few objects, so none is given. Not
        defined where either axis is not resolved in these products.

        Args:
            first: (N, D), not sign-corrected; a row of NaN is a pair that was not asked.
            second: (N, D) likewise.
        """
        if self._reason:
            return Estimate(None, 0, reason=self._reason)
        kept = np.flatnonzero(asked(first) & asked(second))
        both = np.stack([np.asarray(each, dtype=np.float64)[kept] for each in (first, second)])
        return self._of(kept).cosine(both)

    def _of(self, kept: npt.NDArray[np.int64]) -> _Kept:
        rows = np.ix_(kept, kept)
        return _Kept(
            self._opposite[kept],
            [self._images[row] for row in kept],
            self._shares[rows],
            self._same_image[rows],
        )


class _Kept:
    """The pairs that were asked."""

    def __init__(
        self,
        opposite: npt.NDArray[np.int64],
        images: Sequence[str],
        shares: BoolArray,
        same_image: BoolArray,
    ) -> None:
        self._opposite, self._shares, self._same_image = opposite, shares, same_image
        layout = Layout(opposite, images, 2)
        counts = np.zeros((layout.n_images, 2), dtype=np.int64)
        np.add.at(counts, (layout.images, opposite), 1)
        self._n_images = layout.n_images
        self._clusters = len(opposite) ** 2 / max(int(shares.sum()), 1)
        few = TOO_FEW_OBJECTS if self._clusters < _MIN_CLUSTERS else ""
        self._reason = axis_effect(0).why_not(counts) or few

    def size(self, vectors: FloatArray) -> Estimate:
        """Estimate <alpha, alpha> of (1, N, D) vectors."""
        effect = axis_effect(0)
        return self._estimate(inner_product(self._products(vectors), effect, effect))

    def cosine(self, vectors: FloatArray) -> Estimate:
        """Estimate the cosine of the axes of (2, N, D) vectors."""
        products = self._products(vectors)
        for effect in (axis_effect(0), axis_effect(1)):
            # Whether an axis is resolved is asked of the wider interval, which pairs that share objects need.
            products.known[effect] = self._estimate(inner_product(products, effect, effect)).ci_low
        found = self._estimate(corrected_cosine(products, axis_effect(0), axis_effect(1)))
        reason = found.reason or NO_INTERVAL
        return replace(found, se=None, ci_low=None, ci_high=None, reason=reason)

    def _products(self, vectors: FloatArray) -> Products:
        """Return P of the two categories of each set, and the same without each pair, in all sets at once."""
        sets, _, dim = vectors.shape
        disjoint = (~self._shares).astype(np.float64)
        of_category = np.eye(2)[self._opposite]
        member = np.tile(of_category, sets)
        # Sums over the pairs of each group that share nothing with pair i; (N, T, D) would not fit for many pairs.
        sums = [
            disjoint @ (vectors[number] * of_category[:, [group]])
            for number in range(sets)
            for group in range(2)
        ]
        along = np.stack([[(each * total).sum(axis=1) for total in sums] for each in vectors], axis=-1)
        along = np.repeat(along.transpose(1, 2, 0), 2, axis=1) * member[:, :, None]
        others = disjoint @ member
        pairs = others[:, None, :] * member[:, :, None]
        numerator, denominator = along.sum(axis=0), pairs.sum(axis=0)
        means = np.concatenate([of_category.T @ each for each in vectors]).reshape(2 * sets, dim)
        counts = member.sum(axis=0)
        return Products(
            values=_ratio(numerator, denominator),
            leave_outs=_ratio(
                numerator - along - along.transpose(0, 2, 1), denominator - pairs - pairs.transpose(0, 2, 1)
            ),
            counts=member.astype(np.int64),
            plug_in=_ratio(means @ means.T, np.outer(counts, counts)),
        )

    def _estimate(self, statistic: Statistic) -> Estimate:
        if self._reason:
            return Estimate(None, self._n_images, reason=self._reason)
        value = statistic.value if isfinite(statistic.value) else None
        reason = statistic.why_no_interval()
        if reason:
            return Estimate(value, self._n_images, reason=reason, note=statistic.note)
        found = replace(statistic, members=np.ones(len(self._opposite), dtype=bool)).influences()
        square = max(float(found @ each @ found) for each in (self._shares, self._same_image))
        half = upper_quantile(self._clusters - 1) * sqrt(square)
        low, high = statistic.value - half, statistic.value + half
        low, high = min(low, statistic.largest), max(high, -statistic.largest)
        return Estimate(value, self._n_images, sqrt(square), low, high, note=statistic.note)


def _ratio(products: FloatArray, pairs: FloatArray) -> FloatArray:
    found: FloatArray = np.divide(products, pairs, out=np.full(np.shape(products), np.nan), where=pairs > 0)
    return found
