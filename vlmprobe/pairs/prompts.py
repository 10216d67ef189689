"""Question templates as data: two objects and a category become the two questions of a swap pair."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from vlmprobe.errors import UsageError, unknown_name
from vlmprobe.pairs.axes import YesNo
from vlmprobe.pairs.swap_pair import Question

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmprobe.pairs.axes import Answer, Axis, AxisSet, Category
    from vlmprobe.pairs.swap_pair import SwapPair

__all__ = [
    "AS_WRITTEN",
    "PUBLISHED",
    "TEMPLATES",
    "YES_NO",
    "Order",
    "Template",
    "balanced_order",
    "get_template",
    "is_under",
]

#: The template name of a dataset whose questions are written out in its file.
AS_WRITTEN = "as-written"


_END = "Answer with only one word."


class Order(NamedTuple):
    """In which order a pair's original question names things; the swapped one exchanges the objects."""

    first_object: Literal["subject", "reference"]
    first_option: Literal["canonical", "opposite"]


_ORDERS = (
    Order("subject", "canonical"),
    Order("subject", "opposite"),
    Order("reference", "canonical"),
    Order("reference", "opposite"),
)


def balanced_order(pair_id: str) -> Order:
    """Return the order in which the template ``balanced`` asks about a pair.

    The first two hexadecimal digits of the id's SHA-256 decide, one each, so that the two orders are independent of
    each other and of everything that the pair is about: from 8 on the reference and the opposite category come first.
    """
    digest = hashlib.sha256(pair_id.encode(errors="backslashreplace")).hexdigest()
    return Order(
        "reference" if digest[0] >= "8" else "subject", "opposite" if digest[1] >= "8" else "canonical"
    )


@dataclass(frozen=True, slots=True)
class Template:
    """One wording of the question for each axis; the axes hold the words that it is made of."""

    name: str
    about: str
    """How it differs from the published one, in a line."""
    asks_whether: Literal["canonical", "opposite"] | None = None
    """The category that a yes/no wording asks about; None if the wordings offer both categories."""
    others: tuple[str, ...] = ()
    """Further options, none of which is ever right, a word each."""
    offers: str = ""
    """How they are added to the published question."""
    is_balanced: bool = False
    """Whether each pair has its own of the four orders of objects and options, by `balanced_order`."""

    def ask(
        self, category: Category, subject: str, reference: str, pair_id: str | None = None
    ) -> tuple[Question, Question]:
        """Return the original and the swapped question; swapping the objects swaps the right answer.

        Args:
            category: what the subject is, seen from the reference (``subject is left of reference``).
            subject: the object that is asked about, without an article.
            reference: the object that it is compared to, without an article.
            pair_id: of the pair; a balanced template needs it.

        Raises:
            UsageError: the axis has no such wording.
            ValueError: the template is balanced and there is no id.
        """
        asked, swapped = self._texts(category.axis, subject, reference, pair_id)
        expected, opposite = self.answer(category), self.answer(category.opposite)
        return (
            Question(asked, expected, opposite, self.others),
            Question(swapped, opposite, expected, self.others),
        )

    def require(self, axes: AxisSet) -> None:
        """Check that every axis has this wording.

        Raises:
            UsageError: one has not.
        """
        orders: tuple[Order | None, ...] = _ORDERS if self.is_balanced else (None,)
        for axis in axes:
            for order in orders:
                self._ordered(axis, order)

    def _texts(self, axis: Axis, subject: str, reference: str, pair_id: str | None) -> tuple[str, str]:
        """Return the words of the original and of the swapped question."""
        wording = self._wording(axis, pair_id)
        return wording.format(a=subject, b=reference), wording.format(a=reference, b=subject)

    def _wording(self, axis: Axis, pair_id: str | None) -> str:
        if not self.is_balanced:
            return f"{self._ordered(axis, None)} {_END}"
        if pair_id is None:
            raise ValueError(f"template {self.name} asks by the pair's id; pass one")
        return f"{self._ordered(axis, balanced_order(pair_id))} {_END}"

    def _ordered(self, axis: Axis, order: Order | None) -> str:
        """Return the question about an axis, in an order if there is one."""
        if order is not None:
            return self._balanced(axis, order)
        if not self.others:
            return self._question(axis, self.name)
        published = self._question(axis, PUBLISHED.name)
        if not published.endswith("?"):
            raise UsageError(
                f"the axis {axis}: template {self.name} needs a published question that ends in '?'"
            )
        return f"{published[:-1]}, {self.offers}?"

    def _balanced(self, axis: Axis, order: Order) -> str:
        published = self._question(axis, PUBLISHED.name)
        first = "subject" if published.index("{a}") < published.index("{b}") else "reference"
        question = published if order.first_object == first else self._question(axis, "mention-swapped")
        canonical, opposite = axis.categories
        offered = f"{canonical} or {opposite}"
        if offered not in question:
            raise UsageError(
                f"the axis {axis}: template {self.name} needs questions that offer '{offered}', "
                f"unlike {question!r}"
            )
        if order.first_option == "canonical":
            return question
        return question.replace(offered, f"{opposite} or {canonical}")

    def _question(self, axis: Axis, name: str) -> str:
        if name not in axis.questions:
            raise UsageError(
                f"the axis {axis} has no question for template {name}; it has {', '.join(axis.questions)}"
            )
        return axis.questions[name]

    def reword(self, pair: SwapPair) -> SwapPair:
        """Return a pair with its questions worded by this template; nothing else changes.

        Raises:
            ValueError: the pair names no objects.
            UsageError: the pair's axis has no such wording.
        """
        if pair.subject is None or pair.reference is None:
            raise ValueError(f"pair {pair.pair_id} names no objects to ask about")
        orig, swap = self.ask(pair.category, pair.subject, pair.reference, pair.pair_id)
        return replace(pair, orig=orig, swap=swap)

    def reword_about(self, pair: SwapPair, axis: Axis) -> SwapPair:
        """Return a pair of this template with its questions asked about another axis; category and answers stay.

        Nobody knows the right answer to these questions, so whether an answer is what they expect means nothing.

        Raises:
            UsageError: that axis has no such wording.
            ValueError: the template's answers are words of the pair's own axis, or the pair names no objects.
        """
        if self.asks_whether is None:
            raise ValueError(
                f"template {self.name} answers in words of the pair's own axis; use a yes/no one"
            )
        if pair.subject is None or pair.reference is None:
            raise ValueError(f"pair {pair.pair_id} names no objects to ask about")
        asked, swapped = self._texts(axis, pair.subject, pair.reference, pair.pair_id)
        return replace(pair, orig=replace(pair.orig, text=asked), swap=replace(pair.swap, text=swapped))

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
            "balanced",
            "half of an axis's pairs name the reference first, half offer the opposite category first",
            is_balanced=True,
        ),
        Template(
            "three-options",
            "offers a third option that is never right",
            others=("absent",),
            offers="or absent",
        ),
        Template(
            "four-options",
            "offers two more options that are never right",
            others=("identical", "absent"),
            offers="identical to it, or absent",
        ),
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


#: The templates whose answers name no axis: one asks about the canonical category, the other about its opposite.
YES_NO = tuple(name for name, template in TEMPLATES.items() if template.asks_whether is not None)


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
