"""EmbSpatial-Bench's TSV form: multiple-choice rows that the published templates turn into swap pairs.

A left/right/above/below row names both objects in its question. A far/close row asks which of four objects is
farthest or closest: the target is the option that ``answer`` names, and the reference is drawn from the other
options. The published numbers rest on one particular draw, so this file draws as pandas 2 and 3 with
``random.Random(42)`` would: see ``PANDAS_NA``.
"""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING, ClassVar

from vlmprobe.pairs.axes import DEPTH, SPACE
from vlmprobe.pairs.choices import UNDERSTOOD, read_choice, words_of
from vlmprobe.pairs.contradictions import named_corner, named_relation
from vlmprobe.pairs.forms import (
    PANDAS_NA,
    Contradiction,
    Draft,
    Reader,
    RowRejectedError,
    clean_object,
    read_category,
    same_objects,
)
from vlmprobe.pairs.prompts import PUBLISHED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmprobe.pairs.axes import AxisSet, Category
    from vlmprobe.pairs.tables import Row

__all__ = ["OPTIONS", "READER", "EmbSpatialReader", "objects_in_question"]

OPTIONS = ("A", "B", "C", "D")

# Tried in this order: "of X and Y in" would find the wrong words in a question that has another form too.
_QUESTION_FORMS = tuple(
    (
        re.compile(rf"\b{before}\s++(?=\S)", re.IGNORECASE),
        re.compile(rf"(?<!\s)\s++{after}\b", re.IGNORECASE),
    )
    for before, after in (
        ("how are", "positioned"),
        ("between", "in"),
        ("positions of", "interact"),
        ("arrangement of", "in"),
        ("of", "in"),
    )
)
_AND = re.compile(r"(?<!\s)\s++and\s++(?=\S)", re.IGNORECASE)


def objects_in_question(question: str) -> tuple[str, str] | None:
    """Return the two objects that a left/right/above/below question names, in its order; None if it has none.

    The first "and" divides them: "salt and pepper and a plate" gives "salt".
    """
    for before, after in _QUESTION_FORMS:
        # Each part is the first one after the part before it. One pattern "of (.+?) and (.+?) in" finds the same, but
        # tries every combination when there is no end: three thousand spaces took half a minute.
        if (
            (start := before.search(question))
            and (middle := _AND.search(question, start.end() + 1))
            and (end := after.search(question, middle.end() + 1))
        ):
            subject = clean_object(question[start.end() : middle.start()])
            reference = clean_object(question[middle.end() : end.start()])
            return (subject, reference) if subject and reference else None
    return None


class EmbSpatialReader(Reader):
    """Reads rows of ``index question_id category question image answer A B C D``."""

    name: ClassVar[str] = "embspatial"
    columns: ClassVar[tuple[str, ...]] = (
        "index",
        "question_id",
        "category",
        "question",
        "image",
        "answer",
        *OPTIONS,
    )
    kinds: ClassVar[tuple[str, ...]] = ("TSV", "CSV")

    def __init__(self, seed: int, axes: AxisSet = SPACE) -> None:
        """Start reading a file; one generator makes all its draws, in row order."""
        super().__init__(seed, axes)
        self._rng = random.Random(seed)

    def drafts(self, row: Row) -> tuple[Draft]:
        """Build a row's pair; call this for every row, in file order, or the draws will differ."""
        cells = row.texts("index", "question_id", "category", "question", "answer", *OPTIONS)
        category = read_category(self.axes, cells, "category", "category")
        if category.axis == DEPTH:
            subject, reference = self._target_and_drawn(cells)
        else:
            subject, reference = _named(cells["question"])
        contradiction = same_objects(subject, reference)
        if category.axis != DEPTH:
            contradiction = contradiction or self._answer_against(category, cells, subject, reference)
        orig, swap = PUBLISHED.ask(category, subject, reference)
        return (
            Draft(
                index=cells["index"],
                category=category,
                orig=orig,
                swap=swap,
                image=row.image(self.image_column),
                subject=subject,
                reference=reference,
                question_id=cells["question_id"].strip() or None,
                contradiction=contradiction,
                answer_option=_place(cells),
            ),
        )

    def _answer_against(
        self, category: Category, cells: Mapping[str, str], subject: str, reference: str
    ) -> Contradiction | None:
        """Return how the answer of a row whose category makes the pair denies that category."""
        answer = " ".join(cells["answer"].split())
        if answer in PANDAS_NA:
            return None  # no answer claims nothing
        options = {letter: cells[letter] for letter in OPTIONS if _usable(cells[letter]) is not None}
        try:
            choice = read_choice(answer, options)
        except ValueError as error:
            return Contradiction(str(error), "answer")
        letter = choice.letter
        if letter is not None and letter not in OPTIONS:
            return Contradiction(f"the answer {letter!r} has no option; there are A, B, C, D", "answer")
        if letter is not None and letter not in options and options:
            return Contradiction(f"the answer {letter} has no option: {cells[letter][:40]!r}", "answer")

        def relation(text: str) -> Category | None:
            return named_relation(text, self.axes, subject, reference)

        # A file may leave all options empty, since this form does not use them here.
        option = options.get(letter or "", "")
        said, named = relation(choice.text), relation(option)
        if choice.text and option and words_of(choice.text) != words_of(option):
            others = [words_of(text) for text in options.values()]
            if words_of(choice.text) in others or (said and named and said != named):
                why = f"the answer {answer[:40]!r} names option {letter}, which says {option[:60]!r}"
                return Contradiction(why, "answer")
        corner = named_corner(option or choice.text, self.axes)
        if category.opposite in corner:
            text = option or choice.text
            why = f"category {category}, but the answer {answer[:40]} says {text[:60]!r}"
            return Contradiction(why, "answer")
        if letter is None and said is None and not corner:
            return Contradiction(f"the answer {answer[:40]!r} names no option; {UNDERSTOOD}", "answer")
        named = named or said
        if named is None or named == category:
            return None
        text = option or choice.text
        return Contradiction(
            f"category {category}, but the answer {answer[:40]} says {text[:60]!r}", "answer"
        )

    def _target_and_drawn(self, cells: Mapping[str, str]) -> tuple[str, str]:
        letter = cells["answer"].strip().upper()
        if letter not in OPTIONS:
            raise RowRejectedError(
                "answer", f"{letter[:40]!r} is none of A, B, C, D{_hint(letter)}", "answer"
            )
        target = _usable(cells[letter])
        if target is None:
            raise RowRejectedError(
                "option", f"the answer {letter} has no object: {cells[letter][:40]!r}", letter
            )
        others = [option for option in OPTIONS if option != letter]
        candidates = [option for option in others if cells[option].strip().lower() != "unknown"]
        if not candidates:
            raise RowRejectedError("option", f"no option besides the answer {letter} names an object")
        drawn = self._rng.choice(candidates)
        reference = _usable(cells[drawn])
        if reference is None:
            why = f"this option was picked as the reference but has no object: {cells[drawn][:40]!r}"
            raise RowRejectedError("option", why, drawn)
        return target, reference


def _place(cells: Mapping[str, str]) -> tuple[int, int] | None:
    """Return the place of the right option among those that say something, and their number; None if it is not sure."""
    options = {letter: cells[letter] for letter in OPTIONS if _usable(cells[letter]) is not None}
    try:
        letter = read_choice(cells["answer"], options).letter
    except ValueError:
        return None
    if letter not in options or len(options) < 2:
        return None
    return list(options).index(letter), len(options)


def _named(question: str) -> tuple[str, str]:
    objects = objects_in_question(question)
    if objects is None:
        why = f"no two objects found in {' '.join(question.split())[:80]!r}"
        raise RowRejectedError("question", why, "question")
    return objects


def _hint(answer: str) -> str:
    """Return what to write for an answer that means a letter; these rows take no other spelling, as published."""
    try:
        letter = read_choice(answer, {}).letter
    except ValueError:
        return ""
    return f"; write {letter} alone" if letter in OPTIONS else ""


def _usable(option: str) -> str | None:
    if option in PANDAS_NA:
        return None
    name = clean_object(option)
    return None if name.lower() in ("", "unknown") else name


READER = EmbSpatialReader
