"""Question templates as data: two objects and a category become the two questions of a swap pair."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vlmprobe.errors import unknown_name
from vlmprobe.pairs.axes import AXES, YesNo
from vlmprobe.pairs.swap_pair import Question

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmprobe.pairs.axes import Answer, Axis, Category
    from vlmprobe.pairs.swap_pair import SwapPair

__all__ = ["AS_WRITTEN", "PUBLISHED", "TEMPLATES", "Template", "get_template", "is_under"]

#: The template name of a dataset whose questions are written out in its file.
AS_WRITTEN = "as-written"


@dataclass(frozen=True, slots=True)
class Template:
    """One wording of the question for each axis; ``{a}`` is the subject, ``{b}`` the reference."""

    name: str
    about: str
    """How it differs from the published one, in a line."""
    wordings: Mapping[Axis, str]
    asks_whether: Mapping[Axis, Category] | None = None
    """The category that each yes/no wording asks about; None if the wordings offer both categories."""

    def ask(self, category: Category, subject: str, reference: str) -> tuple[Question, Question]:
        """Return the original and the swapped question; swapping the objects swaps the right answer.

        Args:
            category: what the subject is, seen from the reference (``subject is left of reference``).
            subject: the object that is asked about, without an article.
            reference: the object that it is compared to, without an article.
        """
        wording = self.wordings[category.axis]
        expected, opposite = self.answer(category), self.answer(category.opposite)
        return (
            Question(wording.format(a=subject, b=reference), expected, opposite),
            Question(wording.format(a=reference, b=subject), opposite, expected),
        )

    def reword(self, pair: SwapPair) -> SwapPair:
        """Return a pair with its questions worded by this template; nothing else changes.

        Raises:
            ValueError: the pair names no objects.
        """
        if pair.subject is None or pair.reference is None:
            raise ValueError(f"pair {pair.pair_id} names no objects to ask about")
        orig, swap = self.ask(pair.category, pair.subject, pair.reference)
        return replace(pair, orig=orig, swap=swap)

    def answer(self, category: Category) -> Answer:
        """Return the right answer if the object asked about has this category."""
        if self.asks_whether is None:
            return category
        return YesNo.YES if self.asks_whether[category.axis] is category else YesNo.NO


def _template(
    name: str, about: str, *questions: str, whether: tuple[Category, ...] | None = None
) -> Template:
    """Build a template from one question per axis and, for yes/no wordings, one category per axis."""
    return Template(
        name,
        about,
        {axis: f"{text} Answer with only one word." for axis, text in zip(AXES, questions, strict=True)},
        None if whether is None else dict(zip(AXES, whether, strict=True)),
    )


#: The wordings of "Why Far Looks Up" (arXiv 2605.30161).
PUBLISHED = _template(
    "published",
    "the published questions: left/above/far is the first option; the object asked about is named first in "
    "left/right and above/below, second in far/close",
    "Is the {a} to the left or right of the {b}?",
    "Is the {a} above or below the {b}?",
    "Compared to {b}, is {a} far or close from you?",
)

#: The published template, and variants that each test one objection to it.
TEMPLATES: Mapping[str, Template] = {
    template.name: template
    for template in (
        PUBLISHED,
        _template(
            "mention-swapped",
            "the object asked about is named second in left/right and above/below, first in far/close",
            "Compared to the {b}, is the {a} to the left or right?",
            "Compared to the {b}, is the {a} above or below?",
            "Is {a} far or close from you compared to {b}?",
        ),
        _template(
            "options-swapped",
            "right/below/close is the first option",
            "Is the {a} to the right or left of the {b}?",
            "Is the {a} below or above the {b}?",
            "Compared to {b}, is {a} close or far from you?",
        ),
        _template(
            "yes-no",
            "asks whether left/above/far holds, so all axes share the answers yes and no",
            "Is the {a} to the left of the {b}?",
            "Is the {a} above the {b}?",
            "Compared to {b}, is {a} far from you?",
            whether=tuple(axis.canonical for axis in AXES),
        ),
        _template(
            "yes-no-opposite",
            "asks whether right/below/close holds, so yes and no are swapped",
            "Is the {a} to the right of the {b}?",
            "Is the {a} below the {b}?",
            "Compared to {b}, is {a} close to you?",
            whether=tuple(axis.canonical.opposite for axis in AXES),
        ),
    )
}


def get_template(name: str) -> Template:
    """Return a template by its name.

    Raises:
        UsageError: there is no such template; the message lists those that exist.
    """
    if name not in TEMPLATES:
        raise unknown_name("template", name, sorted(TEMPLATES))
    return TEMPLATES[name]


def is_under(template: str, wanted: str) -> bool:
    """Return whether questions worded by ``template`` count as ``wanted``.

    ``published`` stands for a benchmark's own questions, which includes those that a file spells out and
    imported ones.
    """
    return template == wanted or (wanted == PUBLISHED.name and template not in TEMPLATES)
