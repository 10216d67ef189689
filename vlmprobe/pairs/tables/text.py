"""TSV and CSV files as tables: cells are text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from vlmprobe.errors import ImageError, InputError
from vlmprobe.pairs.images import decode_base64
from vlmprobe.pairs.swap_pair import RowProblem
from vlmprobe.pairs.tables.delimited import DelimitedReader, parse_row
from vlmprobe.pairs.tables.row import Row, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["TextField", "TextTable"]


@dataclass(frozen=True, slots=True)
class TextField:
    """An image as base64 in a field of a TSV or CSV file."""

    path: Path
    span: tuple[int, int]
    """Byte offset and length of the row."""
    place: int
    """Of the field in its row, 0-based."""
    delimiter: str

    @property
    def file(self) -> None:
        """No file of its own."""

    def read(self) -> bytes:
        """Read the row again and decode the field.

        Raises:
            ImageError: there is no such field any longer, or it is not base64.
            InputError: the file is gone or cannot be read.
        """
        offset, length = self.span
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                row = file.read(length)
        except OSError as error:
            raise InputError(unreadable(self.path, error)) from None
        try:
            text = parse_row(row, self.delimiter)[self.place]
        except (ValueError, IndexError) as error:
            raise ImageError(f"no longer the row that was read ({error})") from None
        return decode_base64(text)


class TextTable:
    """A TSV or CSV file; a tab in the header tells them apart."""

    unit = "line"
    head = ", line 1: the header"

    def __init__(self, path: Path, file: BinaryIO) -> None:
        """Read the header.

        Raises:
            InputError: the file has no header, or it is not UTF-8 text.
        """
        self.kind, self._delimiter = _kind(file)
        try:
            self._reader = DelimitedReader(file, self._delimiter)
        except ValueError as error:
            raise InputError(f"{path}: {error}; use a UTF-8 {self.kind} file") from None
        self._path = path
        self.columns = tuple(self._reader.header)

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return self._reader.position

    def rows(self, columns: Sequence[str]) -> Iterator[Row | RowProblem]:
        """Yield the rows; a malformed one is a problem."""
        # Of columns with the same name the first counts.
        places = {column: self.columns.index(column) for column in columns if column in self.columns}
        for number, row in enumerate(self._reader, start=1):
            if isinstance(row, RowProblem):
                yield row
                continue
            cells = {column: row.fields[place] for column, place in places.items()}
            hold = partial(self._hold, places, row.span)
            yield Row(row.line, number, cells, self._path.parent, hold)

    def _hold(self, places: dict[str, int], span: tuple[int, int], column: str) -> TextField:
        return TextField(self._path, span, places[column], self._delimiter)


def _kind(file: BinaryIO) -> tuple[str, str]:
    file.seek(0)
    header = file.readline(2**16)
    file.seek(0)
    return ("CSV", ",") if b"," in header and b"\t" not in header else ("TSV", "\t")
