"""Axes and angles from products of different images: how large an axis is, and the cosine of two.

Of an axis with the mean deltas mu_+ (canonical category) and mu_- (its opposite)::

    alpha = (mu_+ - mu_-) / 2   the axis effect: what turns with the category
    omega = (mu_+ + mu_-) / 2   the order effect: what any swap does, whatever the category

All inner products of these follow from P (:mod:`products`), in which group 2 k is the canonical category of axis k and
2 k + 1 its opposite. Where P is of directions, <alpha, alpha> is a mean cosine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite, nan, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.inference.jackknife import NO_VALUE, Scale, Statistic

if TYPE_CHECKING:
    import numpy.typing as npt

    from vlmprobe.analysis.deltas import BoolArray, FloatArray, IntArray
    from vlmprobe.analysis.geometry.products import CrossSums, Products

__all__ = [
    "MIN_IMAGES",
    "MIN_IMAGES_OF_CATEGORY",
    "NOT_RESOLVED",
    "SELECTED",
    "TOO_FEW_ALIKE",
    "TOO_FEW_IMAGES",
    "TOO_FEW_OF_CATEGORY",
    "Effect",
    "axis_effect",
    "axis_size",
    "balanced_coherence",
    "category_mean",
    "ceiling",
    "corrected_cosine",
    "inner_product",
    "order_coherence",
    "order_effect",
    "pairwise_coherence",
    "pooled_coherence",
]

#: Below these the jackknife has too few images for an interval that covers.
MIN_IMAGES, MIN_IMAGES_OF_CATEGORY = 10, 5
TOO_FEW_IMAGES = f"fewer than {MIN_IMAGES} images on an axis"
TOO_FEW_OF_CATEGORY = f"fewer than {MIN_IMAGES_OF_CATEGORY} images of a category"
NOT_RESOLVED = "an axis is not resolved: the interval of its squared length reaches 0"
#: Real deltas may be mixtures. Where both axes are much of what deltas are, the few unlike ones decide the angle, and
#: an interval from fewer images covers too rarely: in the demo .78 to .84 at 20, .90 to .92 at 60 and .92 at 80. Halves
#: are no exception: the mean of two readings at 40 images each covers .89, at 60 each .91, at 80 each .93.
ALIKE, MIN_IMAGES_ALIKE = 0.3, 80
TOO_FEW_ALIKE = (
    f"deltas this alike need {MIN_IMAGES_ALIKE} images on an axis: few unlike ones decide the angle"
)
SELECTED = "may be off by selection: one of the axes is only just resolved"
#: A lower bound below this share of the value is one at the border.
_BORDER = 0.25


@dataclass(frozen=True, slots=True)
class Effect:
    """A combination of mean vectors of groups: an axis, an order effect or one category."""

    groups: tuple[int, ...]
    weights: tuple[float, ...]

    def images(self, counts: IntArray) -> BoolArray:
        """Return (G,) which images have vectors in it, of the (G, T) vectors of each image and group."""
        return np.asarray(counts[:, list(self.groups)].any(axis=1))

    def why_not(self, counts: IntArray) -> str:
        """Say why there are too few images for an interval, or return an empty text."""
        if self.images(counts).sum() < MIN_IMAGES:
            return TOO_FEW_IMAGES
        of_groups = (counts[:, list(self.groups)] > 0).sum(axis=0)
        return TOO_FEW_OF_CATEGORY if of_groups.min() < MIN_IMAGES_OF_CATEGORY else ""


def axis_effect(axis: int) -> Effect:
    """Return alpha of axis number ``axis``."""
    return Effect((2 * axis, 2 * axis + 1), (0.5, -0.5))


def order_effect(axis: int) -> Effect:
    """Return omega of axis number ``axis``."""
    return Effect((2 * axis, 2 * axis + 1), (0.5, 0.5))


def category_mean(group: int) -> Effect:
    """Return the mean of one group."""
    return Effect((group,), (1.0,))


def inner_product(
    products: Products, first: Effect, second: Effect, *, scale: Scale = Scale.PLAIN
) -> Statistic:
    """Estimate the inner product of two effects without bias, with its leave-one-outs.

    The value stands also where there are too few images for an interval; NaN where a group's pairs come from fewer
    than two images.
    """
    key = first, second, scale
    if key not in products.known:
        one, two = first.images(products.counts), second.images(products.counts)
        products.known[key] = Statistic(
            value=float(_form(products.values, first, second)),
            leave_outs=_form(products.leave_outs, first, second),
            members=one | two,
            n_images=int(min(one.sum(), two.sum())),
            scale=scale,
            reason=first.why_not(products.counts) or second.why_not(products.counts),
        )
    found: Statistic = products.known[key]
    return found


def balanced_coherence(directions: Products, axis: int) -> Statistic:
    """Estimate ``axis_coherence.balanced``: <alpha, alpha> of directions, whatever the order effect.

    1: swapping moves every state the same way, against the other category. 0: the category makes no difference. May be
    a little below 0.
    """
    effect = axis_effect(axis)
    return inner_product(directions, effect, effect, scale=Scale.BELOW_ONE)


def order_coherence(directions: Products, axis: int) -> Statistic:
    """Estimate ``order_coherence``: <omega, omega> of directions, what a swap does in either category alike."""
    effect = order_effect(axis)
    return inner_product(directions, effect, effect, scale=Scale.BELOW_ONE)


def pairwise_coherence(directions: Products, group: int) -> Statistic:
    """Estimate the mean cosine of pairs of different images in one group.

    Where each image has one pair this is the published ``within_category_consistency``.
    """
    effect = category_mean(group)
    return inner_product(directions, effect, effect, scale=Scale.BELOW_ONE)


def pooled_coherence(directions: CrossSums, axis: int, members: npt.NDArray[Any] | None = None) -> Statistic:
    """Estimate what the published ``axis_coherence`` is where each image has one pair: the mean of all pairs' cosines.

    An order effect counts in it where the categories are not equally many.

    Args:
        directions: sums of directions.
        axis: its number.
        members: (2 K, T) the groups of each category, as of ``CrossSums.products``.
    """
    categories = (
        np.eye(directions.layout.n_groups) if members is None else np.asarray(members, dtype=np.float64)
    )
    pooled = directions.products(np.stack([categories[2 * axis] - categories[2 * axis + 1]]))
    few = axis_effect(axis).why_not(directions.image_counts(categories))
    return replace(pairwise_coherence(pooled, 0), reason=few)


def axis_size(products: Products, axis: int) -> Statistic:
    """Estimate |alpha|^2, in the squared unit of the states: an axis is there only if its lower bound is above 0."""
    effect = axis_effect(axis)
    return inner_product(products, effect, effect)


def ceiling(products: Products, first: int, second: int) -> float | None:
    """Return ``vd_ei.ceiling``: the cosine that plug-in means would show for two identical axes at this noise.

    sqrt(r_a r_b), r the share of |alpha|^2 in the squared length of the estimated axis. None where a share is not
    positive.
    """
    return _ceiling(products, axis_effect(first), axis_effect(second))


def _ceiling(products: Products, first: Effect, second: Effect) -> float | None:
    shares = []
    for effect in (first, second):
        plug_in = float(_form(products.plug_in, effect, effect))
        true = float(_form(products.values, effect, effect))
        if not true > 0 or not plug_in > 0:
            return None
        shares.append(true / plug_in)
    return sqrt(shares[0] * shares[1])


def _share(products: Products, effect: Effect) -> float:
    """Return the share of the effect in the squared length of a delta, from how little noise lengthens the estimate.

    With theta the share and n images, the plug-in is longer by (1 - theta) / (n theta). 0 where there is no effect.
    """
    plug_in, true = (float(_form(each, effect, effect)) for each in (products.plug_in, products.values))
    if not true > 0:
        return 0.0
    images = (products.counts[:, list(effect.groups)] > 0).sum(axis=0)
    n = 1 / float(np.square(effect.weights) @ (1 / images))
    return min(1.0, 1 / (1 + n * max(plug_in / true - 1, 0.0)))


def corrected_cosine(products: Products, first: Effect, second: Effect) -> Statistic:
    """Estimate the cosine of two effects without the attenuation by noise: ``vd_ei.corrected``, ``axis_cosine``.

    <a, b> / sqrt(<a, a> <b, b>) of products of different images, on the plain scale: atanh is undefined in half of the
    samples where the true cosine is near 1. It may exceed 1 by noise and is not clipped; its interval is moved
    to reach 1 where it would lie wholly above, since no cosine does.

    Not defined where either effect is not resolved (no axis, no angle), where images are too few, or where the cosine
    is undefined without one of them.

    Args:
        products: of deltas as they are.
        first: an effect, such as ``axis_effect(1)``.
        second: another one.
    """
    both = inner_product(products, first, second)
    own = [inner_product(products, effect, effect) for effect in (first, second)]
    cosine = replace(
        both,
        value=_cosine(both.value, own[0].value, own[1].value),
        leave_outs=_cosines(both.leave_outs, own[0].leave_outs, own[1].leave_outs),
        largest=1.0,
    )
    lows = [_low(products, effect) for effect in (first, second)]
    reason = both.reason
    if not reason and not all(isfinite(each.value) for each in own):
        reason = NO_VALUE
    if not reason and not all(low is not None and low > 0 for low in lows):
        reason = NOT_RESOLVED
    few = both.n_images < MIN_IMAGES_ALIKE
    if not reason and few and min(_share(products, first), _share(products, second)) > ALIKE:
        reason = TOO_FEW_ALIKE
    reason = reason or cosine.why_no_interval()
    if reason:
        return replace(cosine, value=nan, reason=reason)
    near = any(low < _BORDER * each.value for low, each in zip(lows, own, strict=True) if low is not None)
    return replace(cosine, note=SELECTED if near else "")


def _low(products: Products, effect: Effect) -> float | None:
    """Return the lower bound of the squared length of an effect, which each cosine with it asks for."""
    if effect not in products.known:
        products.known[effect] = inner_product(products, effect, effect).estimate().ci_low
    found: float | None = products.known[effect]
    return found


def _form(products: FloatArray, first: Effect, second: Effect) -> FloatArray:
    """Sum (..., T, T) products over the groups of both effects alone: another group's may be undefined."""
    block = products[..., list(first.groups), :][..., list(second.groups)]
    total: FloatArray = np.einsum("...ij,i,j->...", block, first.weights, second.weights)
    return total


def _cosine(both: float, first: float, second: float) -> float:
    return both / sqrt(first * second) if first > 0 and second > 0 else nan


def _cosines(both: FloatArray, first: FloatArray, second: FloatArray) -> FloatArray:
    found = np.full(len(both), nan)
    defined = (first > 0) & (second > 0)
    found[defined] = both[defined] / np.sqrt(first[defined] * second[defined])
    return found
