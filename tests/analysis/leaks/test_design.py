"""Places of answers, wordings, categories, perspective and copies: each says what it means for a result."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vlmprobe.analysis.leaks import find_leaks, summary_line
from vlmprobe.pairs import SPACE, Question, get_template

from .benchmarks import perspectives_of, simulated, swap_pair


def _found(pairs, perspectives=None):
    leaks = find_leaks(pairs, SPACE, perspectives, n_draws=99)
    return {(leak.name, leak.target): leak for leak in leaks}


def test_a_right_option_that_is_mostly_a_is_found():
    """Against a quarter, by chi-square, over the rows that have four options."""
    pairs = [swap_pair(n, "left", "cup", "book", option=(0 if n % 2 else n // 2 % 4, 4)) for n in range(80)]
    found = _found([*pairs, swap_pair(99, "left", "cup", "book", option=(1, 2))])["answer_option", "overall"]
    assert (found.value, found.chance, found.n, found.detail) == (0.625, 0.25, 80, "option 1 of 4")
    assert found.is_alarm
    assert "A model that prefers this option scores on the file" in found.says


def test_few_rows_with_options_are_not_tested():
    """Nor is a file without options."""
    few = _found([swap_pair(n, "left", "cup", "book", option=(0, 4)) for n in range(19)])
    assert few["answer_option", "overall"].value == 1
    assert few["answer_option", "overall"].p_value is None
    none = _found([swap_pair(n, "left", "cup", "book") for n in range(19)])["answer_option", "overall"]
    assert (none.value, none.reason) == (None, "the file has no rows with options")


def _spelled_out(n, first, second):
    """Return a pair whose two questions list the right answer where ``first`` and ``second`` say."""
    pair = swap_pair(n, "left", None, None)
    texts = {True: "Is it to the left or right?", False: "Is it to the right or left?"}
    left, right = SPACE.axis("horizontal").categories
    orig = Question(texts[first], left, right)
    swap = Question(texts[not second], right, left)
    return replace(pair, orig=orig, swap=swap)


def test_a_right_answer_that_is_always_listed_first_is_found():
    """Which a file that spells its questions out can do; the templates list one category first on both sides."""
    leaky = _found([_spelled_out(n, first=True, second=True) for n in range(30)])["answer_first", "overall"]
    assert (leaky.value, leaky.n, leaky.n_images) == (1, 60, 30)
    assert leaky.is_alarm
    assert leaky.ci_low > 0.8
    even = _found([_spelled_out(n, first=True, second=False) for n in range(30)])["answer_first", "overall"]
    assert (even.value, even.is_alarm) == (0.5, False)


def test_a_name_that_holds_an_answer_is_no_answer():
    """The "right chair" does not list "right" before "left"."""
    pairs = [swap_pair(n, "left", "right chair", "chair") for n in range(5)]
    found = _found(pairs)
    assert found["answer_first", "overall"].value == 0.5
    assert found["mention_order", "horizontal"].value == 1


def test_yes_and_no_are_listed_nowhere():
    """So where they stand is not known."""
    pairs = [get_template("yes-no").reword(pair) for pair in simulated(0, n_an_axis=5)]
    found = _found(pairs)["answer_first", "overall"]
    assert (found.value, found.reason) == (None, "no question lists its two answers")


@pytest.mark.parametrize(("template", "first"), [("published", (1, 1, 0)), ("mention-swapped", (0, 0, 1))])
def test_the_axis_whose_questions_name_the_objects_in_another_order_is_told(template, first):
    """As of the published wordings; under the other template it is the same axis, the other way round."""
    pairs = [get_template(template).reword(pair) for pair in simulated(0, n_an_axis=5)]
    found = [_found(pairs)["mention_order", str(axis)] for axis in SPACE]
    assert tuple(leak.value for leak in found) == first
    assert ["opposite sign" in leak.says for leak in found] == [False, False, True]
    assert "but not those of horizontal and vertical" in found[2].says


def test_uneven_categories_point_to_the_balanced_coherence():
    """From 1.5 times as many on; equal ones are only counted."""
    pairs = [swap_pair(n, "above" if n % 4 else "below", "cup", "book") for n in range(40)]
    uneven = _found(pairs)["categories", "vertical"]
    assert (uneven.value, uneven.detail) == (0.75, "30 above, 10 below")
    assert "axis_coherence.balanced" in uneven.says
    even = _found([swap_pair(n, "above" if n % 2 else "below", "cup", "book") for n in range(40)])
    assert even["categories", "vertical"].says == "vertical: 20 above, 20 below, about as many of both."


def test_perspective_that_mostly_agrees_is_found():
    """Height tells distance; without boxes nothing is known."""
    pairs = simulated(3)
    mostly = _found(pairs, perspectives_of(pairs, 3, consistent=0.9))["perspective", "distance"]
    assert mostly.is_alarm
    assert "takes the higher object for the farther one" in mostly.says
    lying = _found(pairs, perspectives_of(pairs, 3, consistent=0.1))["perspective", "distance"]
    assert "takes the higher object for the closer one" in lying.says
    unknown = _found(pairs)["perspective", "distance"]
    assert (unknown.value, unknown.p_value, unknown.reason) == (None, None, "no boxes are known")


def test_the_same_objects_of_the_same_picture_are_a_copy_in_either_order():
    """Another axis, another picture or another object is none."""
    pairs = [
        swap_pair(0, "left", "cup", "book", image="a"),
        swap_pair(1, "right", "The book", "cup", image="a"),
        swap_pair(2, "above", "cup", "book", image="a"),
        swap_pair(3, "left", "cup", "book", image="b"),
        swap_pair(4, "left", "cup", "pen", image="a"),
    ]
    found = _found(pairs)["duplicates", "overall"]
    assert (found.value, found.detail) == (0.2, "line 3 repeats line 2")
    assert found.says.startswith("1 pair repeats the objects of the same picture (line 3 repeats line 2).")


def test_the_summary_names_the_alarms():
    """Or says in how many tests there are none."""
    assert "names horizontal, names vertical, names distance (" in summary_line(
        find_leaks(simulated(0, leak=0.9), SPACE)
    )
    quiet = summary_line(find_leaks(simulated(0), SPACE, n_draws=99))
    assert quiet == "leaks before any model is asked: none seen in 5 tests under Holm's rule"
