"""The summary that a data check prints."""

from __future__ import annotations

from typing import Any

from vlmprobe.pairs import ProblemGroup, read_dataset, summarize


def test_summary(tsv: Any) -> None:
    """Rows, pairs before and after sampling, images, problems by kind, and an example of each axis."""
    path = tsv.write(
        tsv.horizontal(),
        tsv.horizontal(category="on"),
        tsv.horizontal(),
        tsv.horizontal(index="0"),
        tsv.horizontal(category="on"),
        tsv.distance("cup", "bed", "unknown", "unknown"),
    )
    summary = summarize(read_dataset(path, max_per_category=1))
    assert (summary.name, summary.n_rows, summary.n_pairs, summary.n_images) == ("bench", 6, 2, 1)
    assert summary.made == {"left": 2, "right": 0, "above": 0, "below": 0, "far": 1, "close": 0}
    assert summary.sampled == {"left": 1, "right": 0, "above": 0, "below": 0, "far": 1, "close": 0}
    known = "left, right, above, below, far, close, under, beneath, near, nearby"
    assert summary.problems == (
        ProblemGroup("category", 2, (3, 6), f"unknown category 'on'; known: {known}"),
        ProblemGroup("duplicate index", 1, (5,), "'0' is already the index of line 2"),
    )
    assert summary.examples == {
        "horizontal": (
            "Is the cup to the left or right of the book? Answer with only one word.",
            "Is the book to the left or right of the cup? Answer with only one word.",
        ),
        "distance": (
            "Compared to bed, is cup far or close from you? Answer with only one word.",
            "Compared to cup, is bed far or close from you? Answer with only one word.",
        ),
    }
