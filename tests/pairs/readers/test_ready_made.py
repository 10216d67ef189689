"""The ready-made form: questions as they are written, answers that must agree."""

from __future__ import annotations

from typing import Any

import pytest

from vlmprobe.pairs import AS_WRITTEN, Question, read_dataset
from vlmprobe.pairs.axes import LEFT, RIGHT


def test_questions_and_answers_come_as_they_are(tsv: Any) -> None:
    """Nothing is added to a question; the opposite of an answer follows from it."""
    row = tsv.ready_made(
        original_question="  Cup: left/right of book? ", group="", index="7", question_id="x7"
    )
    dataset = read_dataset(tsv.write(row))
    (pair,) = dataset.pairs
    assert (dataset.form, dataset.template) == ("ready-made", AS_WRITTEN)
    assert pair.orig == Question("  Cup: left/right of book? ", LEFT, RIGHT)
    assert pair.swap == Question("Is the book left or right of the cup?", RIGHT, LEFT)
    assert (pair.pair_id, pair.question_id, pair.subject, pair.reference) == ("7", "x7", None, None)


def test_synonyms_are_read_as_their_category(tsv: Any) -> None:
    """Under and beneath are below; near and nearby are close."""
    questions = {"original_question": "Where is the cup?", "swapped_question": "Where is the book?"}
    row = tsv.ready_made(
        **questions, category="under", group="Vertical", original_answer="beneath", swapped_answer="above"
    )
    (pair,) = read_dataset(tsv.write(row)).pairs
    assert (pair.category, pair.orig.expected, pair.swap.expected) == ("below", "below", "above")


@pytest.mark.parametrize(
    ("changed", "what", "column", "why"),
    [
        ({"category": "behind"}, "category", "category", "unknown category 'behind'; known: left, right"),
        (
            {"group": "vertical"},
            "group",
            "group",
            "group 'vertical', but category left belongs to horizontal",
        ),
        (
            {"original_answer": "right", "swapped_answer": "left"},
            "answer",
            "original_answer",
            "original_answer is right, but for category left it must be left",
        ),
        (
            {"swapped_answer": "left"},
            "answer",
            "swapped_answer",
            "swapped_answer is left, but for category left it must be right",
        ),
        ({"swapped_answer": ""}, "answer", "swapped_answer", "unknown category ''"),
        ({"swapped_question": " "}, "question", "swapped_question", "swapped_question is empty"),
    ],
)
def test_a_contradiction_is_a_problem(
    tsv: Any, changed: dict[str, str], what: str, column: str, why: str
) -> None:
    """Category, group and answers must say the same, and both questions must be there."""
    dataset = read_dataset(tsv.write(tsv.ready_made(), tsv.ready_made(**changed)))
    (problem,) = dataset.problems
    assert (problem.line, problem.what, problem.column) == (3, what, column)
    assert problem.why.startswith(why)
    assert len(dataset.pairs) == 1
