"""What every table yields, whatever its file looks like: rows of cells by column, or problems."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vlmprobe.errors import ImageError, InputError
from vlmprobe.pairs.cells import kind_of, may_be_index, named_file
from vlmprobe.pairs.forms import RowRejectedError
from vlmprobe.pairs.image_source import find_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from vlmprobe.pairs.image_source import ImageSource
    from vlmprobe.pairs.swap_pair import RowProblem

__all__ = ["MAX_ROW_BYTES", "Row", "Table", "read_span", "unreadable"]

#: A longer row is reported as a problem instead of filling the memory.
MAX_ROW_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Row:
    """A well-formed row."""

    line: int
    """Where users find it, 1-based: its first line, or its number in a table without lines."""
    number: int
    """Its place among the rows, 1-based."""
    cells: Mapping[str, object]
    """By column: text, or what JSON and parquet have. A column may be missing where the row has no such cell."""
    folder: Path
    """Paths in the cells start here."""
    hold: Callable[[str], ImageSource]
    """Returns the source of the image that the cell of a column holds."""
    borrow: Callable[[str, str], ImageSource | None] = lambda _column, _key: None
    """Returns the source of another row's image where a cell holds that row's index, which stands in the column
    ``key``; None where there is no such row. Raises ``ImageError`` where the index leads to no one image."""

    def has(self, column: str) -> bool:
        """Return whether the row has this cell and there is something in it."""
        cell = self.cells.get(column)
        return cell is not None and (not isinstance(cell, str) or bool(cell.strip()))

    def text(self, column: str, what: str | None = None) -> str:
        """Return a cell as text: a whole number without its decimal point, an empty text where there is nothing.

        Args:
            column: the cell's column.
            what: what to call the problem; the column if not given.

        Raises:
            RowRejectedError: the cell holds something else, or characters that no text file can hold.
        """
        cell = self.cells.get(column)
        if cell is None:
            return ""
        if isinstance(cell, float) and cell.is_integer():
            cell = int(cell)
        if isinstance(cell, int) and not isinstance(cell, bool):
            return _digits(cell)
        if not isinstance(cell, str):
            raise RowRejectedError(what or column, f"{kind_of(cell)}, not text", column)
        if "\0" in cell:
            raise RowRejectedError("encoding", "a NUL character", column)
        try:
            cell.encode()
        except UnicodeEncodeError:
            raise RowRejectedError(
                "encoding", "half of a surrogate pair, which is no character", column
            ) from None
        return cell

    def texts(self, *columns: str) -> dict[str, str]:
        """Return several cells as :meth:`text` does.

        Raises:
            RowRejectedError: as :meth:`text`.
        """
        return {column: self.text(column) for column in columns}

    def image(self, column: str, key: str = "index") -> ImageSource:
        """Return the source of the image that a cell holds, whose file it names, or that another row has.

        Args:
            column: the image's column.
            key: the column of the rows' indices; VLMEvalKit's files name the row that has the image by it.

        Raises:
            RowRejectedError: there is no such cell, nothing in it, or the index of no row with an image, or of several.
        """
        if not self.has(column):
            raise RowRejectedError("image", "empty", column)
        cell = self.cells.get(column)
        path = named_file(cell)
        file = None if path is None else find_image(self.folder, path)
        if may_be_index(cell) and not (file is not None and file.exists):
            try:
                source = self.borrow(column, key)
            except ImageError as error:
                raise RowRejectedError("image", str(error), column) from None
            if source is not None:
                return source
        return self.hold(column) if file is None else file


class Table(Protocol):
    """An open file of rows."""

    kind: str
    """``TSV``, ``CSV``, ``JSONL``, ``JSON`` or ``parquet``."""
    unit: str
    """What ``Row.line`` counts: ``line`` or ``row``."""
    head: str
    """Where the columns stand, to go on in a message after the file's path."""
    columns: tuple[str, ...]
    """In JSON, the keys of the first record."""

    @property
    def position(self) -> int:
        """Bytes read so far; an estimate where rows do not lie in order."""

    def rows(self, columns: Sequence[str]) -> Iterator[Row | RowProblem]:
        """Yield the rows once, in order, one at a time.

        Args:
            columns: those that are needed; rows may have more. Those that the file lacks are ignored.

        Raises:
            InputError: the file is damaged.
        """
        ...


def read_span(path: Path, span: tuple[int, int]) -> bytes:
    """Read a row of a file again.

    Args:
        path: the file.
        span: byte offset and length of the row.

    Raises:
        InputError: the file is gone or cannot be read.
    """
    offset, length = span
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(length)
    except OSError as error:
        raise InputError(unreadable(path, error)) from None


def unreadable(path: Path, error: OSError) -> str:
    """Return the message for a benchmark file that cannot be read."""
    return f"cannot read {path}: {error.strerror or error}; check the path of the data"


def _digits(number: int) -> str:
    try:
        return str(number)
    except ValueError:  # Python refuses to write out thousands of digits
        return hex(number)
