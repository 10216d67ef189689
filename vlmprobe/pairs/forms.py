"""Parses the text of a row, before its index and its image are checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmprobe.pairs.axes import AxisSet, Category
    from vlmprobe.pairs.swap_pair import Question

__all__ = ["Draft", "Form", "RowRejectedError", "read_category"]


class RowRejectedError(Exception):
    """A row yields no pair; becomes a ``RowProblem`` once its line is known."""

    def __init__(self, what: str, why: str, column: str | None = None) -> None:
        """Store what is wrong in a word or two, why in a sentence, and in which column."""
        super().__init__(why)
        self.what = what
        self.why = why
        self.column = column


@dataclass(frozen=True, slots=True)
class Draft:
    """The text of a swap pair, without its image."""

    category: Category
    orig: Question
    swap: Question
    subject: str | None = None
    reference: str | None = None


class Form(Protocol):
    """A TSV layout, recognized by its columns; each reading of a file needs a new instance."""

    name: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]
    image_column: ClassVar[str]
    template: ClassVar[str]

    def __init__(self, seed: int, axes: AxisSet) -> None:
        """Start reading a file whose categories are of these axes; the seed is for random draws."""

    def draft(self, cells: Mapping[str, str]) -> Draft:
        """Read one row; called once for each well-formed row, in file order.

        Args:
            cells: the row's fields by column name.

        Raises:
            RowRejectedError: the row gives no pair.
        """
        ...


def read_category(axes: AxisSet, cells: Mapping[str, str], column: str, what: str) -> Category:
    """Read a cell that holds a category.

    Raises:
        RowRejectedError: it names none.
    """
    try:
        return axes.category(cells[column])
    except ValueError as error:
        raise RowRejectedError(what, str(error), column) from None
