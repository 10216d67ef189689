"""The wordings of each template, and what they make right."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from vlmprobe.errors import UsageError
from vlmprobe.pairs import (
    PUBLISHED,
    TEMPLATES,
    Axis,
    AxisSet,
    Category,
    Question,
    balanced_order,
    get_template,
)
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
    known = "balanced, four-options, mention-swapped, options-swapped, published, three-options, yes-no"
    with pytest.raises(UsageError, match=f"unknown template 'mine'; known: {known}, yes-no-opposite"):
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
        ("three-options", LEFT, "Is the cup to the left or right of the book, or absent?", LEFT),
        ("three-options", BELOW, "Is the cup above or below the book, or absent?", BELOW),
        ("three-options", FAR, "Compared to book, is cup far or close from you, or absent?", FAR),
        (
            "four-options",
            LEFT,
            "Is the cup to the left or right of the book, identical to it, or absent?",
            LEFT,
        ),
        ("four-options", ABOVE, "Is the cup above or below the book, identical to it, or absent?", ABOVE),
        (
            "four-options",
            CLOSE,
            "Compared to book, is cup far or close from you, identical to it, or absent?",
            CLOSE,
        ),
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
    others = get_template(template).others
    assert first == Question(f"{orig} {ONE_WORD}", expected, expected.opposite, others)
    assert second == Question(f"{swap} {ONE_WORD}", expected.opposite, expected, others)


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("category", SPACE.categories)
def test_one_side_of_a_pair_expects_what_the_other_does_not(template: str, category: Category) -> None:
    """A model that always says one word is never right twice, whatever it is asked."""
    orig, swap = get_template(template).ask(category, "cup", "book", "17")
    assert orig.expected is swap.opposite
    assert orig.opposite is swap.expected
    assert orig.expected is not orig.opposite


ORDERS = {
    "left": {
        ("subject", "canonical"): "Is the cup to the left or right of the book?",
        ("subject", "opposite"): "Is the cup to the right or left of the book?",
        ("reference", "canonical"): "Compared to the book, is the cup to the left or right?",
        ("reference", "opposite"): "Compared to the book, is the cup to the right or left?",
    },
    "above": {
        ("subject", "canonical"): "Is the cup above or below the book?",
        ("subject", "opposite"): "Is the cup below or above the book?",
        ("reference", "canonical"): "Compared to the book, is the cup above or below?",
        ("reference", "opposite"): "Compared to the book, is the cup below or above?",
    },
    "far": {
        ("subject", "canonical"): "Is cup far or close from you compared to book?",
        ("subject", "opposite"): "Is cup close or far from you compared to book?",
        ("reference", "canonical"): "Compared to book, is cup far or close from you?",
        ("reference", "opposite"): "Compared to book, is cup close or far from you?",
    },
}


@pytest.mark.parametrize("category", [LEFT, ABOVE, FAR])
def test_the_balanced_template_asks_in_each_of_four_orders(category: Category) -> None:
    """The pair's id decides which; subject first means the same on all axes, unlike in the published wording."""
    asked = {}
    for number in range(40):
        orig, swap = get_template("balanced").ask(category, "cup", "book", str(number))
        other_way = get_template("balanced").ask(category, "book", "cup", str(number))[0]
        assert swap.text == other_way.text
        text = orig.text.removesuffix(f" {ONE_WORD}")
        assert asked.setdefault(balanced_order(str(number)), text) == text
    assert asked == ORDERS[category]


def test_the_two_orders_are_independent_and_even() -> None:
    """Of 4,000 ids, and of a benchmark's partners in quads, each of the four orders has a quarter."""
    for ids in ([str(number) for number in range(4000)], [f"{number}/v" for number in range(4000)]):
        counts = Counter(map(balanced_order, ids))
        # The standard error of a count is 27.
        assert all(abs(count - 1000) < 110 for count in counts.values())
        assert len(counts) == 4
    # A quad's halves are asked in orders of their own, or the order would be something that they share.
    same = sum(balanced_order(str(number)) == balanced_order(f"{number}/v") for number in range(4000))
    assert abs(same - 1000) < 110


#: ``docs/data.md`` shows these two columns.
ORDER_IN_SQL = """
    substr(right(CAST(sha256(CAST(pair_id AS bytea)) AS varchar), 64), 1, 1) >= '8' AS reference_first,
    substr(right(CAST(sha256(CAST(pair_id AS bytea)) AS varchar), 64), 2, 1) >= '8' AS opposite_first
"""
IDS = [*map(str, range(100)), "17/v", "a b"]


def order_query() -> str:
    """Ask for the order of each id."""
    listed = ", ".join(f"('{pair_id}')" for pair_id in IDS)
    return f"SELECT pair_id, {ORDER_IN_SQL} FROM (VALUES {listed}) AS pairs (pair_id)"


def orders() -> dict[str, tuple[bool, bool]]:
    """Say what Python says."""
    found = {pair_id: balanced_order(pair_id) for pair_id in IDS}
    return {
        pair_id: (order.first_object == "reference", order.first_option == "opposite")
        for pair_id, order in found.items()
    }


def test_sql_can_tell_the_order() -> None:
    """As docs/data.md shows it; on DuckDB without the cast for any id."""
    import duckdb

    page = Path("docs/data.md").read_text(encoding="utf-8")
    assert all(line.strip() in page for line in ORDER_IN_SQL.strip().splitlines())
    assert {each: tuple(order) for each, *order in duckdb.sql(order_query()).fetchall()} == orders()
    ((digit,),) = duckdb.execute("SELECT sha256($id)[1]", {"id": "\u00e4"}).fetchall()
    assert (digit >= "8") == (balanced_order("\u00e4").first_object == "reference")


@pytest.mark.full
def test_sql_can_tell_the_order_on_postgres(postgres: Any) -> None:
    """By the same query: there sha256 gives bytes."""
    assert {each: tuple(order) for each, *order in postgres.run(order_query())} == orders()


def test_a_balanced_template_needs_the_pair() -> None:
    """Without an id every pair would silently be asked in one order."""
    with pytest.raises(ValueError, match="template balanced asks by the pair's id"):
        get_template("balanced").ask(LEFT, "cup", "book")


@pytest.mark.parametrize(
    ("template", "question", "message"),
    [
        ("balanced", "Which is it, {a} or {b}?", "needs questions that offer 'hot or cold', unlike 'Which"),
        (
            "balanced",
            "Is {a} hot or cold beside {b}?",
            "no question for template mention-swapped; it has published",
        ),
        (
            "three-options",
            "Say whether {a} is hot or cold beside {b}.",
            "a published question that ends in '?'",
        ),
    ],
)
def test_axes_whose_words_do_not_fit_are_refused(template: str, question: str, message: str) -> None:
    """Before anything is asked; the line names axis and template."""
    heat = Axis("heat", Category("hot"), Category("cold"), questions={"published": question})
    with pytest.raises(UsageError, match=rf"the axis heat.*{message}"):
        get_template(template).require(AxisSet((heat,)))
