"""Questions about another axis: the same two objects, the same answers on offer, and nothing about their relation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vlmprobe.errors import UsageError
from vlmprobe.pairs import (
    YES_NO,
    Axis,
    AxisSet,
    Category,
    ask_other_axis,
    get_template,
    other_axes,
    read_dataset,
)
from vlmprobe.pairs.axes import SPACE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vlmprobe.pairs import Dataset

END = "Answer with only one word."


@pytest.fixture(scope="module")
def dataset(benchmark: Callable[..., Path]) -> Dataset:
    """Read two pairs of each category, asked whether the canonical one holds."""
    return read_dataset(benchmark(2)).under("yes-no")


def test_every_axis_is_asked_about_the_first_and_the_first_about_the_second() -> None:
    """Whatever the set: its own order decides."""
    assert other_axes(SPACE) == {"horizontal": "vertical", "vertical": "horizontal", "distance": "horizontal"}


def test_one_axis_alone_has_no_other() -> None:
    """In one line."""
    alone = AxisSet((Axis("size", Category("big"), Category("small")),))
    with pytest.raises(UsageError, match=r"no other axis to ask about: the benchmark has size alone"):
        other_axes(alone)


@pytest.mark.parametrize("template", YES_NO)
def test_the_words_are_those_of_the_template(dataset: Dataset, template: str) -> None:
    """Each question is the template's own about the other axis; everything else of the pair is as it was."""
    own = dataset.under(template)
    asked = ask_other_axis(own)
    assert (asked.dataset_id, asked.template) == (own.dataset_id, template)
    others = other_axes(own.axes)
    for before, pair in zip(own.pairs, asked.pairs, strict=True):
        words = get_template(template).ask(
            others[before.axis].canonical, str(pair.subject), str(pair.reference)
        )
        assert [question.text for question in pair.questions] == [question.text for question in words]
        assert before.orig.text != pair.orig.text
        assert (pair.category, pair.image_sha256) == (before.category, before.image_sha256)
        for old, new in zip(before.questions, pair.questions, strict=True):
            assert (new.expected, new.opposite) == (old.expected, old.opposite)


def test_the_words_of_one_pair(dataset: Dataset) -> None:
    """A far pair is asked about left, a left pair about above."""
    pairs = {str(pair.category): pair for pair in ask_other_axis(dataset).pairs}
    far, left = pairs["far"], pairs["left"]
    assert far.orig.text == f"Is the {far.subject} to the left of the {far.reference}? {END}"
    assert far.swap.text == f"Is the {far.reference} to the left of the {far.subject}? {END}"
    assert left.orig.text == f"Is the {left.subject} above the {left.reference}? {END}"


def test_a_template_that_offers_words_of_an_axis_has_no_such_question(dataset: Dataset) -> None:
    """The answers to "left or right?" are none to a question about height."""
    with pytest.raises(ValueError, match="template published answers in words of the pair's own axis"):
        ask_other_axis(dataset.under("published"))
