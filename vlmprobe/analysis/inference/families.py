"""Several tests at once: Holm's step-down rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["holm"]


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Adjust the p-values of a family, so that one of .05 or less is a false one in at most 5 % of families.

    The k-th smallest of m becomes max over j <= k of (m - j + 1) p_(j), at most 1 (S. Holm, Scandinavian Journal of
    Statistics 6, 1979). A test that could not be made (None) is none of the family.
    """
    tested = sorted((p_value, place) for place, p_value in enumerate(p_values) if p_value is not None)
    found: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p_value, place) in enumerate(tested):
        largest = max(largest, (len(tested) - rank) * p_value)
        found[place] = min(1.0, largest)
    return tuple(found)
