"""The two answer checkers: what each reads in a text, and how the published one meets published numbers."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmprobe.errors import UsageError
from vlmprobe.pairs import CHECKERS, Category, check_answer
from vlmprobe.pairs.axes import LEFT, RIGHT, SPACE, YesNo

GOLDEN = Path(__file__).parents[1] / "golden" / "molmo_400k" / "csv"

# text, expected, what "published" reads, what "words" reads
READINGS = [
    ("left", "left", "left", "left"),
    ("Right.", "left", "right", "right"),
    ("The cup is to the RIGHT, not the left", "left", "right", "right"),
    ("under", "below", "below", "below"),
    ("It is beneath it.", "below", "below", "below"),
    ("underneath", "below", "below", "below"),
    ("nearby", "far", "close", "close"),
    ("distant", "far", "far", "far"),
    ("The furthest one", "far", None, "far"),
    ("closer", "far", "close", "close"),
    ("nearly as far as the other", "far", "close", "far"),
    ("in the closet, far away", "far", "close", "far"),
    ("behind the farmhouse, near", "close", "far", "close"),
    ("_left_", "left", "left", "left"),
    ("leftmost", "left", "left", "left"),
    ("leftover", "left", "left", None),
    ("on top", "above", None, None),
    ("left", "above", None, None),
    ("", "left", None, None),
]


@pytest.mark.parametrize(("text", "expected", "published", "words"), READINGS)
def test_readings(text: str, expected: str, published: str | None, words: str | None) -> None:
    """The category named first is the answer; nothing is parsed when neither is named."""
    category = SPACE.category(expected)
    for checker, parsed in (("published", published), ("words", words)):
        check = check_answer(text, category, category.opposite, checker)
        assert (check.parsed, check.correct) == (parsed, parsed == expected), checker


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("Yes.", "yes"),
        ("no", "no"),
        ("NO, yes", "no"),
        ("I know nothing", None),
        ("yesterday", None),
        ("left", None),
    ],
)
@pytest.mark.parametrize("checker", CHECKERS)
def test_yes_and_no_are_whole_words(text: str, parsed: str | None, checker: str) -> None:
    """For both checkers: "no" is a part of too many words."""
    check = check_answer(text, YesNo.YES, YesNo.NO, checker)
    assert (check.parsed, check.correct) == (parsed, parsed == "yes")


def test_published_checker_agrees_with_the_golden_predictions() -> None:
    """For every golden prediction the checker says what the reference implementation said."""
    with (GOLDEN / "predictions_400k_all_pairs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 134
    for row in rows:
        category = SPACE.category(row["category"])
        orig = check_answer(row["pred_orig"], category, category.opposite, "published")
        swap = check_answer(row["pred_swap"], category.opposite, category, "published")
        expected = (row["is_correct_orig"] == "True", row["is_correct_swap"] == "True")
        assert (orig.correct, swap.correct) == expected, row["index"]


@given(text=st.text(), category=st.sampled_from(SPACE.categories), checker=st.sampled_from(CHECKERS))
def test_expecting_the_opposite_reads_the_same(text: str, category: Category, checker: str) -> None:
    """What a text says does not depend on which answer was right, and only one of the two can be."""
    one = check_answer(text, category, category.opposite, checker)
    other = check_answer(text, category.opposite, category, checker)
    assert one.parsed == other.parsed
    assert one.correct + other.correct == (one.parsed is not None)


def test_unknown_checker_lists_the_known_ones() -> None:
    """A wrong name is a usage error that says which names there are."""
    with pytest.raises(UsageError, match="unknown answer checker 'regex'; known: published, words"):
        check_answer("left", LEFT, RIGHT, "regex")


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("absent", None),
        ("Absent.", None),
        ("Identical, neither left nor right", None),
        ("left, not absent", "left"),
        ("absently left", "left"),
        ("right", "right"),
    ],
)
@pytest.mark.parametrize("checker", CHECKERS)
def test_an_option_that_is_never_right_is_neither_right_nor_the_opposite(
    checker: str, text: str, parsed: str | None
) -> None:
    """A text that names it first says nothing of the two answers, on either side of a pair."""
    for expected in (LEFT, RIGHT):
        check = check_answer(text, expected, expected.opposite, checker, ("identical", "absent"))
        assert (check.parsed, check.correct) == (parsed, parsed == expected)
    assert check_answer("absent, left", LEFT, RIGHT, checker).correct
