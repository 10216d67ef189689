"""What a reader is: it recognizes a form of benchmark and makes drafts of pairs from its rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from vlmprobe.pairs.axes import SPACE
from vlmprobe.pairs.contradictions import object_key
from vlmprobe.pairs.prompts import PUBLISHED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from vlmprobe.pairs.axes import AxisSet, Category
    from vlmprobe.pairs.boxes import Box
    from vlmprobe.pairs.image_source import ImageSource
    from vlmprobe.pairs.swap_pair import Question, RowProblem
    from vlmprobe.pairs.tables import Row, Table

__all__ = [
    "PANDAS_NA",
    "Contradiction",
    "Draft",
    "Reader",
    "RowRejectedError",
    "clean_object",
    "read_category",
    "same_objects",
]

#: Cells that ``pandas.read_csv`` reads as NaN by default. The reference implementation draws from what pandas
#: returns and does not drop NaN, so such an option is drawn like any other, and changes every later draw.
PANDAS_NA = frozenset(
    (
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
        *("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    )
)


class RowRejectedError(Exception):
    """A row yields no pair; becomes a ``RowProblem`` once its line is known."""

    def __init__(self, what: str, why: str, column: str | None = None) -> None:
        """Store what is wrong in a word or two, why in a sentence, and in which column."""
        super().__init__(why)
        self.what = what
        self.why = why
        self.column = column


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Labels of a row that cannot all be right; the row gives a pair only where the user says so."""

    why: str
    column: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A swap pair before its index, its questions and its image are checked."""

    index: str
    category: Category
    orig: Question
    swap: Question
    image: ImageSource
    subject: str | None = None
    reference: str | None = None
    question_id: str | None = None
    subject_box: Box | None = None
    reference_box: Box | None = None
    subject_depth: float | None = None
    """A larger depth is farther from the camera, in whatever unit."""
    reference_depth: float | None = None
    contradiction: Contradiction | None = None
    answer_option: tuple[int, int] | None = None
    """Place of the right option, from 0, and number of options."""


class Reader(ABC):
    """Reads one form of benchmark; each reading of a file needs a new instance.

    A reader is one module of ``vlmprobe.pairs.readers`` with its class as ``READER``. Of the readers whose
    columns a file has, the one that needs the most reads it.
    """

    name: ClassVar[str]
    """What the form is called in messages and in the database."""
    columns: ClassVar[tuple[str, ...]]
    """The columns that a file of this form has."""
    optional: ClassVar[tuple[str, ...]] = ()
    """The columns that are read where a file has them."""
    kinds: ClassVar[tuple[str, ...]] = ("TSV", "CSV", "JSONL", "JSON", "parquet")
    """The kinds of file that the form comes in, by ``Table.kind``."""
    image_column: ClassVar[str] = "image"
    template: ClassVar[str] = PUBLISHED.name
    """Who words the questions: ``published``, or ``as-written`` where the file spells them out."""

    def __init__(self, seed: int, axes: AxisSet = SPACE) -> None:
        """Start reading a file whose categories are of these axes; the seed is for random draws."""
        self.seed, self.axes = seed, axes

    @classmethod
    def lacks(cls, table: Table) -> tuple[str, ...]:
        """Return the columns that the table lacks; it is of this form if there are none."""
        return tuple(column for column in cls.columns if column not in table.columns)

    def rows(self, table: Table) -> Iterator[Row | RowProblem]:
        """Yield the table's rows; a reader may divide them, but each needs a ``line`` of its own."""
        return table.rows((*self.columns, *self.optional))

    @abstractmethod
    def drafts(self, row: Row) -> Iterable[Draft]:
        """Make drafts of a row's pairs; called once for each well-formed row, in file order.

        Of a row all pairs are kept or none.

        Raises:
            RowRejectedError: the row gives no pair.
        """


def clean_object(name: str) -> str:
    """Return an object's name for a template: no outer white space, final period or leading "the".

    Other articles stay ("a cup" is asked about as "a cup"), and so does the case.
    """
    bare = name.strip().rstrip(".").rstrip()
    return bare[4:].lstrip() if bare.lower().startswith("the ") else bare


def same_objects(subject: str, reference: str) -> Contradiction | None:
    """Return what is wrong with a pair whose two names mean the same object; None if they do not.

    Raises:
        RowRejectedError: the names are the same but for their case, so that swapping them changes nothing.
    """
    if subject.lower() == reference.lower():
        raise RowRejectedError("objects", f"both objects are {subject[:60]!r}")
    if object_key(subject) != object_key(reference):
        return None
    return Contradiction(f"both objects are the same: {subject[:60]!r} and {reference[:60]!r}")


def read_category(axes: AxisSet, cells: Mapping[str, str], column: str, what: str) -> Category:
    """Read a cell that holds a category.

    Raises:
        RowRejectedError: it names none.
    """
    try:
        return axes.category(cells[column])
    except ValueError as error:
        raise RowRejectedError(what, str(error), column) from None
