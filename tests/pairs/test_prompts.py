"""The published wordings."""

from __future__ import annotations

import pytest

from vlmprobe.errors import UsageError
from vlmprobe.pairs import PUBLISHED, Category, Question, get_template

LEFT, RIGHT = Category.LEFT, Category.RIGHT
ABOVE, BELOW = Category.ABOVE, Category.BELOW
FAR, CLOSE = Category.FAR, Category.CLOSE


@pytest.mark.parametrize(
    ("category", "orig", "swap"),
    [
        (
            LEFT,
            "Is the cup to the left or right of the old book? Answer with only one word.",
            "Is the old book to the left or right of the cup? Answer with only one word.",
        ),
        (
            BELOW,
            "Is the cup above or below the old book? Answer with only one word.",
            "Is the old book above or below the cup? Answer with only one word.",
        ),
        (
            FAR,
            "Compared to old book, is cup far or close from you? Answer with only one word.",
            "Compared to cup, is old book far or close from you? Answer with only one word.",
        ),
    ],
)
def test_published_wordings(category: Category, orig: str, swap: str) -> None:
    """The swapped question exchanges the objects and expects the opposite."""
    assert PUBLISHED.ask(category, "cup", "old book") == (
        Question(orig, category, category.opposite),
        Question(swap, category.opposite, category),
    )


def test_braces_in_an_object_name_are_just_text() -> None:
    """A name is put into the wording, never read as one."""
    orig, _ = PUBLISHED.ask(LEFT, "{b}", "{0}")
    assert orig.text == "Is the {b} to the left or right of the {0}? Answer with only one word."


def test_get_template() -> None:
    """Templates are found by name, and a wrong name lists the right ones."""
    assert get_template("published") is PUBLISHED
    known = "mention-swapped, options-swapped, published, yes-no, yes-no-opposite"
    with pytest.raises(UsageError, match=f"unknown template 'mine'; known: {known}"):
        get_template("mine")
