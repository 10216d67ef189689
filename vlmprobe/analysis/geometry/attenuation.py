"""How far noise shortens the cosine of two mean deltas, from the coherence of the axes and the number of pairs."""

from __future__ import annotations

from math import sqrt

__all__ = ["attenuation"]


def attenuation(first: float, second: float, n: float) -> float | None:
    """Return what a plug-in cosine of means keeps of the true one: E cos ~ cos sqrt(r_a r_b).

    r = theta / (theta + (1 - theta) / n), the share of the axis in the squared length of a mean of n directions whose
    coherence is theta.

    Args:
        first: coherence of the one axis.
        second: of the other.
        n: pairs of each mean: of a category for ``vd_ei.eq3``, of an axis for ``vd_ei.pooled``.

    Returns:
        A factor from 0 to 1; None where a coherence is not above 0 or there are no pairs.
    """
    if not (0 < first <= 1 and 0 < second <= 1 and n > 0):
        return None
    kept = [theta / (theta + (1 - theta) / n) for theta in (first, second)]
    return sqrt(kept[0] * kept[1])
