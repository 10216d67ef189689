"""How large a true difference must be for four of five such studies to resolve it, by the test that is used."""

from __future__ import annotations

from functools import lru_cache
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import bdtr, bdtrik, gammaln, ndtri, stdtrit, xlog1py, xlogy

if TYPE_CHECKING:
    from vlmprobe.analysis.deltas import FloatArray

__all__ = ["power_difference", "power_mcnemar"]

#: Share of true differences of this size that a study resolves.
_POWER = 0.8
#: Halvings of the range of differences: to less than a thousandth of a pair in any study.
_HALVINGS = 24
#: Standard deviations of the number of changed pairs beyond which it does not come.
_FAR = 8


def power_difference(se: float | None, n_images: int, level: float = 0.05) -> float | None:
    """Return the smallest true difference that a two-sided t test resolves in four of five studies.

    (t + z_.8 sqrt(1 + t^2 / (2 d))) se, with t the 1 - level / 2 point of Student's t with d = n_images - 1 degrees of
    freedom. The root stands for the error of the standard error (Johnson and Welch, Biometrika 31, 1940, without their
    factor of t that is nearly 1); of many images it is 1.

    Args:
        se: standard error of the difference; None = unknown.
        n_images: images, or other independent units, behind it.
        level: of the test; .05 over the number of tests is Holm's rule at its strictest.
    """
    if se is None or n_images < 2:
        return None
    freedom = n_images - 1
    t = float(stdtrit(freedom, 1 - level / 2))
    return (t + float(ndtri(_POWER)) * sqrt(1 + t * t / (2 * freedom))) * se


@lru_cache(maxsize=4096)
def power_mcnemar(n: int, lost: int, level: float = 0.05) -> float | None:
    """Return the smallest true difference of two shares that the exact McNemar test resolves in four of five studies.

    As many pairs as were lost are lost again, and half a pair more: that none was lost does not mean that none can be.
    Of n pairs K ~ Binomial(n, 2 loss + difference) change, and Binomial(K, loss / (2 loss + difference)) of these are
    lost; the difference is that with which both together reject with probability .8.

    Args:
        n: pairs, an image each.
        lost: those that changed the rarer way.
        level: see :func:`power_difference`.

    Returns:
        The difference, or None where not even the largest one is resolved as often.
    """
    loss = (lost + 0.5) / n if n else 1.0
    most, low, high = _most_losses(n, level), 0.0, 1 - 2 * loss
    if high <= 0 or _power(n, loss, high, most) < _POWER:
        return None
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if _power(n, loss, middle, most) >= _POWER else (middle, high)
    return high


@lru_cache(maxsize=64)
def _most_losses(n: int, level: float) -> FloatArray:
    """Return (n + 1,) of 0 to n changes the most that may be lost for the test to reject; -1 = it cannot."""
    changes = np.arange(n + 1)
    # Where the real-valued quantile lies, or is none, the whole one is no higher.
    found: FloatArray = np.ceil(
        np.nan_to_num(np.maximum(bdtrik(level / 2, changes.astype(np.float64), 0.5), 0.0))
    )
    for _ in range(2):
        p_values = 2 * bdtr(np.maximum(found, 0.0), changes, 0.5)
        found = np.where((found >= 0) & (p_values > level * (1 + 1e-9)), found - 1, found)
    return found


def _power(n: int, loss: float, difference: float, most: FloatArray) -> float:
    changed = 2 * loss + difference
    middle, far = n * changed, _FAR * sqrt(n * changed * (1 - changed)) + 1
    k = np.arange(max(0, int(middle - far)), min(n, int(middle + far)) + 1)
    ways = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    weights = np.exp(ways + xlogy(k, changed) + xlog1py(n - k, -changed))
    rejects = np.where(most[k] >= 0, bdtr(np.maximum(most[k], 0.0), k, loss / changed), 0.0)
    return float(weights @ rejects)
