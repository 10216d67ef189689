"""Which layers stand for all of them where there is no room for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["representative_layers"]


def representative_layers(layers: int | Sequence[int], count: int = 5) -> tuple[int, ...]:
    """Pick layers that are evenly spread over depth; the first and the last are among them.

    With L layers, numbers i = 0 ... count - 1 pick the places i (L - 1) / (count - 1), halves rounded up; a count
    of 1 picks the last.

    Args:
        layers: how many there are, or their numbers where not all were kept.
        count: how many to pick; all, if there are no more.

    Returns:
        Layer numbers in ascending order, without repetition.

    Raises:
        ValueError: ``count`` is less than 1.
    """
    if count < 1:
        raise ValueError(f"at least one layer must be picked, not {count}")
    given = range(layers) if isinstance(layers, int) else sorted(set(layers))
    n = len(given)
    if n <= count:
        return tuple(given)
    if count == 1:
        return (given[-1],)
    gaps = count - 1
    return tuple(given[(2 * i * (n - 1) + gaps) // (2 * gaps)] for i in range(count))
