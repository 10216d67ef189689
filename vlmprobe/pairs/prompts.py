"""Question templates as data: two objects and a category become the two questions of a swap pair."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from vlmprobe.errors import UsageError, unknown_name
from vlmprobe.pairs.axes import YesNo
from vlmprobe.pairs.swap_pair import Question

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmprobe.pairs.axes import Answer, Axis, AxisSet, Category
    from vlmprobe.pairs.swap_pair import SwapPair

__all__ = ["AS_WRITTEN", "PUBLISHED", "TEMPLATES", "Template", "get_template", "is_under"]

#: The template name of a dataset whose questions are written out in its file.
AS_WRITTEN = "as-written"


_END = "Answer with only one word."


@dataclass(frozen=True, slots=True)
class Template:
    """One wording of the question for each axis; the axes hold the words."""

    name: str
    about: str
    """How it differs from the published one, in a line."""
    asks_whether: Literal["canonical", "opposite"] | None = None
    """The category that a yes/no wording asks about; None if the wordings offer both categories."""

    def ask(self, category: Category, subject: str, reference: str) -> tuple[Question, Question]:
        """Return the original and the swapped question; swapping the objects swaps the right answer.

        Args:
            category: what the subject is, seen from the reference (``subject is left of reference``).
            subject: the object that is asked about, without an article.
            reference: the object that it is compared to, without an article.

        Raises:
            UsageError: the axis has no such wording.
        """
        wording = self._wording(category.axis)
        expected, opposite = self.answer(category), self.answer(category.opposite)
        return (
            Question(wording.format(a=subject, b=reference), expected, opposite),
            Question(wording.format(a=reference, b=subject), opposite, expected),
        )

    def require(self, axes: AxisSet) -> None:
        """Check that every axis has this wording.

        Raises:
            UsageError: one has not.
        """
        for axis in axes:
            self._wording(axis)

    def _wording(self, axis: Axis) -> str:
        if self.name not in axis.questions:
            raise UsageError(
                f"the axis {axis} has no question for template {self.name}; it has {', '.join(axis.questions)}"
            )
        return f"{axis.questions[self.name]} {_END}"

    def reword(self, pair: SwapPair) -> SwapPair:
        """Return a pair with its questions worded by this template; nothing else changes.

        Raises:
            ValueError: the pair names no objects.
            UsageError: the pair's axis has no such wording.
        """
        if pair.subject is None or pair.reference is None:
            raise ValueError(f"pair {pair.pair_id} names no objects to ask about")
        orig, swap = self.ask(pair.category, pair.subject, pair.reference)
        return replace(pair, orig=orig, swap=swap)

    def answer(self, category: Category) -> Answer:
        """Return the right answer if the object asked about has this category."""
        if self.asks_whether is None:
            return category
        return YesNo.YES if category.is_canonical == (self.asks_whether == "canonical") else YesNo.NO


#: The wordings of "Why Far Looks Up" (arXiv 2605.30161).
PUBLISHED = Template(
    "published",
    "the published questions: the canonical category is the first option",
)

#: The published template, and variants that each test one objection to it.
TEMPLATES: Mapping[str, Template] = {
    template.name: template
    for template in (
        PUBLISHED,
        Template(
            "mention-swapped",
            "the two objects are named in the other order",
        ),
        Template("options-swapped", "the opposite category is the first option"),
        Template(
            "yes-no",
            "asks whether the canonical category holds, so all axes share the answers yes and no",
            "canonical",
        ),
        Template(
            "yes-no-opposite",
            "asks whether the opposite category holds, so yes and no are swapped",
            "opposite",
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
