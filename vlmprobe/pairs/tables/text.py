"""TSV and CSV files as tables: cells are text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from vlmprobe.errors import ImageError, InputError
from vlmprobe.pairs.cells import inline_image, may_be_index, named_file
from vlmprobe.pairs.image_source import find_image
from vlmprobe.pairs.swap_pair import RowProblem
from vlmprobe.pairs.tables.delimited import DelimitedReader, parse_row
from vlmprobe.pairs.tables.row import Row, read_span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from vlmprobe.pairs.image_source import ImageSource

__all__ = ["TextField", "TextTable"]


@dataclass(frozen=True, slots=True)
class TextField:
    """An image as text in a field of a TSV or CSV file."""

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
            ImageError: there is no such field any longer, or it holds no image.
            InputError: the file is gone or cannot be read.
        """
        return inline_image(self.text())

    def text(self) -> str:
        """Read the row again and return the field.

        Raises:
            ImageError: there is no such field any longer.
            InputError: the file is gone or cannot be read.
        """
        row = read_span(self.path, self.span)
        try:
            return parse_row(row, self.delimiter)[self.place]
        except (ValueError, IndexError) as error:
            raise ImageError(f"no longer the row that was read ({error})") from None


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
        self._spans: dict[str, dict[str, list[tuple[int, int]]]] = {}

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
            borrow = partial(self._borrow, places, cells)
            yield Row(row.line, number, cells, self._path.parent, hold, borrow)

    def _hold(self, places: dict[str, int], span: tuple[int, int], column: str) -> TextField:
        return TextField(self._path, span, places[column], self._delimiter)

    def _borrow(
        self, places: dict[str, int], cells: dict[str, str], column: str, key: str
    ) -> ImageSource | None:
        """Follow indices from row to row until one has an image; only offsets of rows are kept."""
        if key not in places:
            return None
        index, passed = cells[column].strip(), [cells[key].strip()]
        source: ImageSource | None = None
        # The first index that no row has is none; a later one is what the row before it holds.
        while spans := self._spans_of(key).get(index):
            if index in passed:
                why = "whose row has this index in place of an image; write the image once"
                raise ImageError(f"the index {index[:40]!r}, {why}")
            if len(spans) > 1:
                raise ImageError(f"the index {index[:40]!r}, which {len(spans)} rows have; make it unique")
            field = self._hold(places, spans[0], column)
            text = field.text()
            path = named_file(text)
            source = field if path is None else find_image(self._path.parent, path)
            if not may_be_index(text):
                break
            passed.append(index)
            index = text.strip()
        return source

    def _spans_of(self, key: str) -> dict[str, list[tuple[int, int]]]:
        """Return where the rows of each index are; reads the whole file when it is asked for the first time."""
        if key not in self._spans:
            spans: dict[str, list[tuple[int, int]]] = {}
            place = self.columns.index(key)
            with self._path.open("rb") as file:
                for row in DelimitedReader(file, self._delimiter):
                    if not isinstance(row, RowProblem):
                        spans.setdefault(row.fields[place].strip(), []).append(row.span)
            self._spans[key] = spans
        return self._spans[key]


def _kind(file: BinaryIO) -> tuple[str, str]:
    file.seek(0)
    header = file.readline(2**16)
    file.seek(0)
    return ("CSV", ",") if b"," in header and b"\t" not in header else ("TSV", "\t")
