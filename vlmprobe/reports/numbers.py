"""Prints numbers as SQL rounds them, and missing values as ``n/a``."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal

__all__ = ["NOT_AVAILABLE", "full", "p_value", "rounded", "significant_decimals"]

NOT_AVAILABLE = "n/a"
DECIMALS = 4
#: Of a value without an interval, which says nothing of how exact it is.
_FEW, _MOST = 2, 6


def rounded(value: float | None, decimals: int = DECIMALS) -> str:
    """Print a value as ``round(value, decimals)`` of DuckDB does: halves go away from zero.

    Python's own formatting rounds 0.03125 (one pair of 32) to 0.0312, DuckDB to 0.0313; a report and a query
    beside each other must not differ. NaN, infinity and None are ``n/a``.
    """
    if value is None or not math.isfinite(value):
        return NOT_AVAILABLE
    factor = 10**decimals
    # The product is a rounded float in DuckDB too; only its rounding to an integer is exact.
    steps = Decimal(abs(float(value)) * factor).quantize(Decimal(1), ROUND_HALF_UP)
    sign = "-" if value < 0 and steps else ""
    return f"{sign}{steps / factor:.{decimals}f}"


def significant_decimals(half_width: float | None) -> int:
    """Return the decimals that an interval allows its value: two significant digits of the half-width."""
    if half_width is None or not math.isfinite(half_width) or half_width <= 0:
        return _FEW
    # Of the rounded one: 0.0996 has the two digits of 0.10.
    exponent = math.floor(math.log10(float(f"{half_width:.1e}")))
    return min(_MOST, max(0, 1 - exponent))


def p_value(value: float | None) -> str:
    """Print a p-value with four decimals; what rounds to 0 is not 0."""
    if value is None or not math.isfinite(value):
        return NOT_AVAILABLE
    return "< 0.0001" if value < 0.00005 else rounded(value)


def full(value: float | None) -> str:
    """Print a value so that reading it back gives the same float; empty when there is none."""
    return "" if value is None or not math.isfinite(value) else repr(float(value))
