"""One number with its uncertainty, and, where there is none, why."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from scipy.special import stdtr, stdtrit

__all__ = ["LEVEL", "Estimate", "two_sided_p", "upper_quantile"]

#: Probability below the upper bound of every interval: 95 % intervals.
LEVEL = 0.975


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval. What could not be had is None, never 0, and ``reason`` says why."""

    value: float | None
    n_images: int
    """Images behind the value; of a value with several members, those of the member with the fewest."""
    se: float | None = None
    """Standard error, in the value's own unit."""
    ci_low: float | None = None
    ci_high: float | None = None
    reason: str = ""
    """Why the value, or its interval alone, is missing."""
    note: str = ""
    """What a reader must know of a value that is there."""

    @property
    def is_resolved(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.ci_low is not None and self.ci_low > 0


@lru_cache(maxsize=4096)
def upper_quantile(degrees_of_freedom: float) -> float:
    """Return the 97.5 % point of Student's t."""
    return float(stdtrit(degrees_of_freedom, LEVEL))


def two_sided_p(t: float, degrees_of_freedom: float) -> float:
    """Return P(|T| >= |t|) for Student's T."""
    return float(2.0 * stdtr(degrees_of_freedom, -abs(t)))
