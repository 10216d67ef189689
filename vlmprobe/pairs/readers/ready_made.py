"""The ready-made TSV form: both questions and both answers are written out and used as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from vlmprobe.pairs.contradictions import asked_of_another_axis, question_key
from vlmprobe.pairs.forms import Contradiction, Draft, Reader, RowRejectedError, read_category
from vlmprobe.pairs.prompts import AS_WRITTEN
from vlmprobe.pairs.swap_pair import Question

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmprobe.pairs.axes import Category
    from vlmprobe.pairs.tables import Row

__all__ = ["READER", "ReadyMadeReader"]


class ReadyMadeReader(Reader):
    """Reads rows with ``original_question``, ``swapped_question`` and their answers."""

    name: ClassVar[str] = "ready-made"
    columns: ClassVar[tuple[str, ...]] = (
        "image_base64",
        "original_question",
        "swapped_question",
        "original_answer",
        "swapped_answer",
        "category",
        "group",
        "index",
        "question_id",
    )
    kinds: ClassVar[tuple[str, ...]] = ("TSV", "CSV")
    image_column: ClassVar[str] = "image_base64"
    template: ClassVar[str] = AS_WRITTEN

    def drafts(self, row: Row) -> tuple[Draft]:
        """Check that category, group and answers agree; the questions themselves are not checked."""
        cells = row.texts(*(column for column in self.columns if column != self.image_column))
        category = read_category(self.axes, cells, "category", "category")
        group = cells["group"].strip().lower()
        if group and group != category.axis:
            why = f"group {group[:40]!r}, but category {category} belongs to {category.axis}"
            raise RowRejectedError("group", why, "group")
        for column, expected in (
            ("original_answer", category),
            ("swapped_answer", category.opposite),
        ):
            answer = read_category(self.axes, cells, column, "answer")
            if answer != expected:
                why = f"{column} is {answer}, but for category {category} it must be {expected}"
                raise RowRejectedError("answer", why, column)
        for column in ("original_question", "swapped_question"):
            if not cells[column].strip():
                raise RowRejectedError("question", f"{column} is empty", column)
        return (
            Draft(
                index=cells["index"],
                category=category,
                orig=Question(cells["original_question"], category, category.opposite),
                swap=Question(cells["swapped_question"], category.opposite, category),
                image=row.image(self.image_column),
                question_id=cells["question_id"].strip() or None,
                contradiction=_same_question(cells) or self._other_axis(cells, category),
            ),
        )

    def _other_axis(self, cells: Mapping[str, str], category: Category) -> Contradiction | None:
        """Return which question offers two relations of another axis, neither of which is the category."""
        for column in ("original_question", "swapped_question"):
            axis = asked_of_another_axis(cells[column], category, self.axes)
            if axis is not None:
                offered = " or ".join(map(str, axis.categories))
                return Contradiction(f"category {category}, but the question offers {offered}", column)
        return None


def _same_question(cells: Mapping[str, str]) -> Contradiction | None:
    if question_key(cells["original_question"]) != question_key(cells["swapped_question"]):
        return None
    return Contradiction("both questions are the same, but their answers are opposites", "swapped_question")


READER = ReadyMadeReader
