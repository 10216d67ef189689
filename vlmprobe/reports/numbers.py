"""Prints numbers as SQL rounds them, and missing values as ``n/a``."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal

__all__ = ["NOT_AVAILABLE", "decimals_of", "full", "measured", "p_value", "rounded"]

NOT_AVAILABLE = "n/a"
DECIMALS = 4
_WITHOUT_INTERVAL = 2
_SMALLEST_P = 0.0001


def rounded(value: float | None, decimals: int = DECIMALS) -> str:
    """Print a value as ``round(value, decimals)`` of DuckDB does: halves go away from zero.

    Python's own formatting rounds 0.03125 (one pair of 32) to 0.0312, DuckDB to 0.0313; a report and a query
    beside each other must not differ. Below 0, ``decimals`` count digits left of the point: 30196 with -2 is 30200.
    NaN, infinity and None are ``n/a``.
    """
    if value is None or not math.isfinite(value):
        return NOT_AVAILABLE
    # The product is a rounded float in DuckDB too; only its rounding to an integer is exact.
    scaled = (
        abs(float(value)) * 10**decimals if decimals >= 0 else Decimal(abs(float(value))).scaleb(decimals)
    )
    steps = Decimal(scaled).quantize(Decimal(1), ROUND_HALF_UP)
    sign = "-" if value < 0 and steps else ""
    return f"{sign}{steps.scaleb(-decimals):.{max(0, decimals)}f}"


def full(value: float | None) -> str:
    """Print a value so that reading it back gives the same float; empty when there is none."""
    return "" if value is None or not math.isfinite(value) else repr(float(value))


def decimals_of(low: float | None, high: float | None) -> int:
    """Return how many decimals an interval allows: two significant digits of its half-width, at most ``DECIMALS``.

    Below 0 for a half-width of 100 or more: digits left of the point are rounded as well.

    Without an interval, two: no study here has the pairs for a third.
    """
    if low is None or high is None or not math.isfinite(high - low):
        return _WITHOUT_INTERVAL
    half = (high - low) / 2
    # Of the rounded one: 0.0996 has the two digits of 0.10.
    if half <= 0:
        return DECIMALS
    decimals = min(DECIMALS, 1 - math.floor(math.log10(float(f"{half:.1e}"))))
    # A bound that is not 0 is not printed as 0: on which side it lies decides.
    hidden = any(bound and not float(rounded(bound, decimals)) for bound in (low, high))
    return min(DECIMALS, decimals + 1) if hidden else decimals


def measured(value: float | None, low: float | None, high: float | None, *, bounds: bool = True) -> str:
    """Print a value and its interval with the digits that the interval allows: ``0.68 [0.51, 0.80]``.

    A value without an interval is printed without one; no value is ``n/a``.
    """
    decimals = decimals_of(low, high)
    text = rounded(value, decimals)
    if text == NOT_AVAILABLE or not bounds or low is None or high is None or not math.isfinite(high - low):
        return text
    return f"{text} [{rounded(low, decimals)}, {rounded(high, decimals)}]"


def p_value(p: float | None, smallest: float = _SMALLEST_P) -> str:
    """Print a p-value with two significant digits, and never as 0: below ``smallest`` only that it is below."""
    if p is None or not math.isfinite(p):
        return NOT_AVAILABLE
    return f"{p:#.2g}" if p >= smallest else f"< {smallest:g}"
