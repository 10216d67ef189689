"""Prints numbers as SQL rounds them, and missing values as ``n/a``."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal

__all__ = ["NOT_AVAILABLE", "full", "rounded"]

NOT_AVAILABLE = "n/a"
DECIMALS = 4


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


def full(value: float | None) -> str:
    """Print a value so that reading it back gives the same float; empty when there is none."""
    return "" if value is None or not math.isfinite(value) else repr(float(value))
