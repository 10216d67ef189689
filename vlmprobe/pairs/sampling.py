"""Samples at most N pairs of each category, the same ones every time."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from vlmprobe.pairs.axes import CATEGORIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.pairs.swap_pair import SwapPair

__all__ = ["sample_pairs"]


def sample_pairs(pairs: Sequence[SwapPair], max_per_category: int, seed: int) -> tuple[SwapPair, ...]:
    """Return at most ``max_per_category`` pairs of each category (0: all of them), in the order they came.

    One generator serves all categories, in the order left, right, above, below, far, close, and is used only
    where a category has too many: the choice is that of the reference implementation.
    """
    if max_per_category == 0:
        return tuple(pairs)
    rng = random.Random(seed)
    chosen: set[int] = set()
    for category in CATEGORIES:
        places = [place for place, pair in enumerate(pairs) if pair.category is category]
        chosen.update(rng.sample(places, max_per_category) if len(places) > max_per_category else places)
    return tuple(pair for place, pair in enumerate(pairs) if place in chosen)
