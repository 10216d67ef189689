"""Question templates as data: two objects and a category become the two questions of a swap pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.errors import unknown_name
from vlmprobe.pairs.axes import Axis
from vlmprobe.pairs.swap_pair import Question

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmprobe.pairs.axes import Category

__all__ = ["AS_WRITTEN", "PUBLISHED", "TEMPLATES", "Template", "get_template"]

#: The template name of a dataset whose questions are written out in its file.
AS_WRITTEN = "as-written"


@dataclass(frozen=True, slots=True)
class Template:
    """One wording of the question for each axis; ``{a}`` is the subject, ``{b}`` the reference."""

    name: str
    wordings: Mapping[Axis, str]

    def ask(self, category: Category, subject: str, reference: str) -> tuple[Question, Question]:
        """Return the original and the swapped question; swapping the objects swaps the right answer.

        Args:
            category: what the subject is, seen from the reference (``subject is left of reference``).
            subject: the object that is asked about, without an article.
            reference: the object that it is compared to, without an article.
        """
        wording = self.wordings[category.axis]
        return (
            Question(wording.format(a=subject, b=reference), category, category.opposite),
            Question(wording.format(a=reference, b=subject), category.opposite, category),
        )


#: The wordings of "Why Far Looks Up" (arXiv 2605.30161).
PUBLISHED = Template(
    name="published",
    wordings={
        Axis.HORIZONTAL: "Is the {a} to the left or right of the {b}? Answer with only one word.",
        Axis.VERTICAL: "Is the {a} above or below the {b}? Answer with only one word.",
        Axis.DISTANCE: "Compared to {b}, is {a} far or close from you? Answer with only one word.",
    },
)

TEMPLATES: Mapping[str, Template] = {PUBLISHED.name: PUBLISHED}


def get_template(name: str) -> Template:
    """Return a template by its name.

    Raises:
        UsageError: there is no such template; the message lists those that exist.
    """
    if name not in TEMPLATES:
        raise unknown_name("template", name, sorted(TEMPLATES))
    return TEMPLATES[name]
