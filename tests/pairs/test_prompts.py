"""The wordings of each template, and what they make right."""

from __future__ import annotations

import pytest

from vlmprobe.errors import UsageError
from vlmprobe.pairs import PUBLISHED, TEMPLATES, Category, Question, get_template
from vlmprobe.pairs.axes import ABOVE, BELOW, CLOSE, FAR, LEFT, RIGHT, SPACE, YesNo

LEFT, RIGHT = LEFT, RIGHT
ABOVE, BELOW = ABOVE, BELOW
FAR, CLOSE = FAR, CLOSE


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


ONE_WORD = "Answer with only one word."


@pytest.mark.parametrize(
    ("template", "category", "orig", "expected"),
    [
        ("mention-swapped", LEFT, "Compared to the book, is the cup to the left or right?", LEFT),
        ("mention-swapped", BELOW, "Compared to the book, is the cup above or below?", BELOW),
        ("mention-swapped", FAR, "Is cup far or close from you compared to book?", FAR),
        ("options-swapped", LEFT, "Is the cup to the right or left of the book?", LEFT),
        ("options-swapped", BELOW, "Is the cup below or above the book?", BELOW),
        ("options-swapped", FAR, "Compared to book, is cup close or far from you?", FAR),
        ("yes-no", LEFT, "Is the cup to the left of the book?", YesNo.YES),
        ("yes-no", BELOW, "Is the cup above the book?", YesNo.NO),
        ("yes-no", CLOSE, "Compared to book, is cup far from you?", YesNo.NO),
        ("yes-no-opposite", LEFT, "Is the cup to the right of the book?", YesNo.NO),
        ("yes-no-opposite", BELOW, "Is the cup below the book?", YesNo.YES),
        ("yes-no-opposite", CLOSE, "Compared to book, is cup close to you?", YesNo.YES),
    ],
)
def test_wordings_of_the_other_templates(
    template: str, category: Category, orig: str, expected: Category | YesNo
) -> None:
    """Each names what it changes; the swapped question exchanges the objects and expects the other answer."""
    first, second = get_template(template).ask(category, "cup", "book")
    swap = orig.replace("cup", "CUP").replace("book", "cup").replace("CUP", "book")
    assert first == Question(f"{orig} {ONE_WORD}", expected, expected.opposite)
    assert second == Question(f"{swap} {ONE_WORD}", expected.opposite, expected)


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("category", SPACE.categories)
def test_one_side_of_a_pair_expects_what_the_other_does_not(template: str, category: Category) -> None:
    """A model that always says one word is never right twice, whatever it is asked."""
    orig, swap = get_template(template).ask(category, "cup", "book")
    assert orig.expected is swap.opposite
    assert orig.opposite is swap.expected
    assert orig.expected is not orig.opposite
