"""Is a number of ours the same as a published one, within a margin? Two one-sided tests.

A difference that is not significant is no evidence of sameness: a study too small to see anything has none. So the
question is turned round. Two numbers are called equivalent only where both "ours is lower by the margin or more" and
"ours is higher by the margin or more" are rejected at 5 % (D. J. Schuirmann, Journal of Pharmacokinetics and
Biopharmaceutics 15, 1987).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, sqrt
from typing import TYPE_CHECKING

from scipy.special import stdtr

from vlmprobe.analysis.inference.estimate import two_sided_p, upper_quantile

if TYPE_CHECKING:
    from vlmprobe.analysis.inference.estimate import Estimate

__all__ = [
    "DIFFERENT",
    "EQUIVALENT",
    "NOT_DECIDED",
    "Equivalence",
    "binomial_se",
    "equivalence",
    "share_se",
]

EQUIVALENT, DIFFERENT, NOT_DECIDED = "equivalent", "different", "not decided"
_ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Equivalence:
    """A difference, its 95 % interval, and what two one-sided tests say of it."""

    difference: float
    se: float
    ci_low: float
    ci_high: float
    margin: float
    p_equivalent: float
    """The larger of the two one-sided p-values: the null is a difference of the margin or more."""
    p_different: float
    """Two-sided: the null is no difference."""
    verdict: str
    """``EQUIVALENT``, else ``DIFFERENT`` where the interval leaves out 0, else ``NOT_DECIDED``."""


def equivalence(difference: float, se: float, margin: float, degrees_of_freedom: float = inf) -> Equivalence:
    """Test a difference against a margin on either side, with Student's t.

    Args:
        difference: ours less theirs.
        se: its standard error, in the same unit.
        margin: the largest difference that counts as the same.
        degrees_of_freedom: of ``se``; without end = known.

    Raises:
        ValueError: ``se`` or ``margin`` is not above 0.
    """
    if not se > 0 or not margin > 0:
        raise ValueError(f"a test of equivalence needs an error and a margin above 0, got {se} and {margin}")
    # The t distribution of SciPy takes no infinity; this many are the normal one to the last digit.
    freedom = min(degrees_of_freedom, 1e12)
    p_equivalent = max(
        float(stdtr(freedom, (difference - margin) / se)), float(stdtr(freedom, -(difference + margin) / se))
    )
    p_different = two_sided_p(difference / se, freedom)
    half = upper_quantile(freedom) * se
    verdict = EQUIVALENT if p_equivalent <= _ALPHA else DIFFERENT if p_different <= _ALPHA else NOT_DECIDED
    return Equivalence(
        difference, se, difference - half, difference + half, margin, p_equivalent, p_different, verdict
    )


def binomial_se(share: float, n: float) -> float:
    """Return the standard error of a share of n answers, as if one more were right and one more wrong.

    Without these, a share of 0 or 1 would have none, and shares near them too small a one (Agresti and Caffo, The
    American Statistician 54, 2000).
    """
    shrunk = (share * n + 1) / (n + 2)
    return sqrt(shrunk * (1 - shrunk) / (n + 2))


def share_se(found: Estimate) -> float | None:
    """Return the same of a share from ``effective_wilson``, at its effective number of pairs; None without bounds."""
    if found.value is None or found.se is None:
        return None
    variance = found.value * (1 - found.value)
    effective = variance / found.se**2 if variance > 0 and found.se > 0 else float(found.n_images)
    return binomial_se(found.value, effective)
