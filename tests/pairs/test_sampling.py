"""Which pairs a sample keeps."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from vlmprobe.pairs import PUBLISHED, Category, SwapPair
from vlmprobe.pairs.axes import FAR, LEFT, SPACE
from vlmprobe.pairs.sampling import sample_pairs


def _pairs(categories: list[Category]) -> list[SwapPair]:
    def pair(number: int, category: Category) -> SwapPair:
        orig, swap = PUBLISHED.ask(category, "cup", "book")
        return SwapPair(str(number), category, "cup", "book", orig, swap, "0" * 64, 8, 6, number + 2, (0, 0))

    return [pair(number, category) for number, category in enumerate(categories)]


@given(categories=st.lists(st.sampled_from(SPACE.categories), max_size=60), limit=st.integers(1, 12))
def test_one_generator_samples_the_categories_in_order(categories: list[Category], limit: int) -> None:
    """Random(42).sample, first for left and last for close, and only where there are too many."""
    pairs = _pairs(categories)
    rng = random.Random(42)
    expected: set[str] = set()
    for word in ("left", "right", "above", "below", "far", "close"):
        ids = [pair.pair_id for pair in pairs if pair.category == word]
        expected |= set(rng.sample(ids, limit)) if len(ids) > limit else set(ids)
    sampled = sample_pairs(pairs, SPACE.categories, limit, 42)
    assert {pair.pair_id for pair in sampled} == expected
    assert [pair.line for pair in sampled] == sorted(pair.line for pair in sampled)


def test_zero_keeps_all() -> None:
    """0 stands for no limit."""
    pairs = _pairs([LEFT] * 5)
    assert sample_pairs(pairs, SPACE.categories, 0, 42) == tuple(pairs)


def test_a_literal_sample() -> None:
    """The pairs that the published seed keeps of ten left and four far ones, three of each."""
    sampled = sample_pairs(_pairs([LEFT] * 10 + [FAR] * 4), SPACE.categories, 3, 42)
    assert [pair.pair_id for pair in sampled] == ["0", "1", "4", "10", "11", "12"]
