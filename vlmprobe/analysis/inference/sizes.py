"""Differences and slopes of sizes |theta|, where the sign of a theta may be unknown.

Where theta is resolved, its size is theta with the observed sign, and a contrast of sizes is one of such values. Where
its interval holds 0, the sign is not known, and the observed one is a guess: of two values of which each is some v, one
estimated just above and one just below 0, the difference of sizes is in fact the sum of the two, which tells 2 v from
0 and not |v| from |v|. So every sign that the data leave open is tried. The interval is the hull of those found, and
the p-value the largest: a test of "equal in size" may reject only where it would whatever the signs are (an
intersection-union test: Berger, Technometrics 24, 1982).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.analysis.inference.jackknife import contrast, paired_t
from vlmprobe.analysis.inference.wild import N_DRAWS, wild_p_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.analysis.inference.estimate import Estimate
    from vlmprobe.analysis.inference.jackknife import Statistic

__all__ = ["OPEN_SIGN", "Contrast", "contrast_of_sizes", "largest_p", "wild_p_of_contrasts"]

OPEN_SIGN = "a cosine's sign is open, so both are allowed for"


@dataclass(frozen=True, slots=True)
class Contrast:
    """A linear contrast of statistics, some of whose signs may be open."""

    candidates: tuple[Statistic, ...]
    """The contrast under each choice of signs, that of the observed ones first; where no sign is open, the one."""

    def estimate(self) -> Estimate:
        """Return the value with the observed signs, the largest standard error, and the hull of all intervals."""
        found = [each.estimate() for each in self.candidates]
        lows, highs, errors = (
            [getattr(each, name) for each in found] for name in ("ci_low", "ci_high", "se")
        )
        if len(found) == 1:
            return found[0]
        note = found[0].note or OPEN_SIGN
        if None in lows:
            return replace(found[0], se=None, ci_low=None, ci_high=None, note=note)
        return replace(found[0], se=max(errors), ci_low=min(lows), ci_high=max(highs), note=note)

    def p_value(self) -> float | None:
        """Return the p-value of the paired jackknife t: that of the signs under which it is largest."""
        return largest_p([paired_t(each) for each in self.candidates])


def contrast_of_sizes(statistics: Sequence[Statistic], coefficients: Sequence[float]) -> Contrast:
    """Combine the sizes of statistics of the same images linearly; (1, -1) is a paired difference.

    Args:
        statistics: K, over the same G images in the same order.
        coefficients: K.

    Raises:
        ValueError: the lengths differ.
    """
    # An undefined value has no sign, and the contrast no interval.
    signs = [-1.0 if each.value < 0 else 1.0 for each in statistics]
    is_open = [_holds_zero(each.estimate()) for each in statistics]
    choices = product(
        *((sign, -sign) if undecided else (sign,) for sign, undecided in zip(signs, is_open, strict=True))
    )
    return Contrast(
        tuple(
            contrast(statistics, [sign * factor for sign, factor in zip(of_all, coefficients, strict=True)])
            for of_all in choices
        )
    )


def wild_p_of_contrasts(
    contrasts: Sequence[Contrast], *, seed: int, n_draws: int = N_DRAWS
) -> tuple[float | None, ...]:
    """Test each contrast against 0 by the wild test, with the same signs of influences for all.

    Args:
        contrasts: K, over the same images.
        seed: of a PCG64 generator.
        n_draws: B.
    """
    every = [candidate for each in contrasts for candidate in each.candidates]
    found = wild_p_values(every, seed=seed, n_draws=n_draws)
    ends = np.cumsum([len(each.candidates) for each in contrasts]).tolist()
    starts = [0, *ends][:-1]
    return tuple(largest_p(found[start:end]) for start, end in zip(starts, ends, strict=True))


def _holds_zero(estimate: Estimate) -> bool:
    low, high = estimate.ci_low, estimate.ci_high
    return low is not None and high is not None and low <= 0 <= high


def largest_p(p_values: Sequence[float | None]) -> float | None:
    """Return the p-value of "each of these is rejected" (an intersection-union test); None where one has none."""
    known = [each for each in p_values if each is not None]
    return max(known) if known and len(known) == len(p_values) else None
