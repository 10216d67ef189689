"""Shares of a squared length, and order effects that may pass for axes."""

from __future__ import annotations

from dataclasses import replace
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.analysis.geometry.estimates import NOT_RESOLVED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.analysis.deltas import BoolArray
    from vlmprobe.analysis.inference import Statistic

__all__ = ["order_warning", "share_of"]

#: An order effect counts in the published coherence where the categories are further from half than this.
_ORDER, _OFF_HALF = 0.05, 0.05


def share_of(part: Statistic, whole: Statistic) -> Statistic:
    """Return part / whole, of two statistics over the same images, on the plain scale.

    It may come out a little below 0 or above 1, as unbiased parts do. Not defined where the whole is not resolved: a
    share of nothing is no number.
    """
    low, reason = whole.estimate().ci_low, part.reason or whole.reason
    if not reason and not (low is not None and low > 0):
        reason = NOT_RESOLVED
    positive = whole.leave_outs > 0
    found = replace(
        part,
        value=part.value / whole.value if whole.value > 0 else nan,
        leave_outs=np.divide(
            part.leave_outs, whole.leave_outs, out=np.full(len(positive), nan), where=positive
        ),
        members=part.members | whole.members,
        n_images=min(part.n_images, whole.n_images),
    )
    return replace(found, value=nan, reason=reason) if reason else found


def order_warning(order_coherence: float | None, canonical: Sequence[bool] | BoolArray) -> str:
    """Say that the published coherence holds an order effect, or return an empty text.

    Args:
        order_coherence: of the same pairs; None if it is not known.
        canonical: n flags, whether a pair is of the canonical category.
    """
    share = float(np.mean(canonical)) if len(canonical) else 0.5
    if order_coherence is None or order_coherence <= _ORDER or abs(share - 0.5) <= _OFF_HALF:
        return ""
    return (
        f"an order effect of {order_coherence:.2f} counts in it, since {share:.0%} of the pairs are canonical; "
        "read axis_coherence.balanced"
    )
