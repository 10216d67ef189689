"""Samples at most N pairs of each category, the same ones every time."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.pairs.axes import Category
    from vlmprobe.pairs.swap_pair import SwapPair

__all__ = ["sample_pairs"]


def sample_pairs(
    pairs: Sequence[SwapPair], categories: Sequence[Category], max_per_category: int, seed: int
) -> tuple[SwapPair, ...]:
    """Return at most ``max_per_category`` pairs of each category (0: all of them), in the order they came.

    One generator serves all categories, in the order given, and is used only where a category has too many: of
    left, right, above, below, far, close, the choice is that of the reference implementation.
    """
    if max_per_category == 0:
        return tuple(pairs)
    rng = random.Random(seed)
    chosen: set[int] = set()
    for category in categories:
        places = [place for place, pair in enumerate(pairs) if pair.category == category]
        chosen.update(rng.sample(places, max_per_category) if len(places) > max_per_category else places)
    return tuple(pair for place, pair in enumerate(pairs) if place in chosen)
