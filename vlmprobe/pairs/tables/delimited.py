"""Reads a TSV or CSV file row by row and keeps each row's byte range, so that the row can be read again.

A field may hold delimiters, line breaks and doubled quotes when it is quoted, as pandas and the ``csv`` module
write it. After a malformed row, reading continues at the next physical line, so one stray quote does not
swallow the rows after it.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Self

from vlmprobe.pairs.swap_pair import RowProblem
from vlmprobe.pairs.tables.row import MAX_ROW_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DelimitedReader", "DelimitedRow", "parse_row"]

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class DelimitedRow:
    """A well-formed row: its first physical line (1-based), its bytes (offset, length), its fields."""

    line: int
    span: tuple[int, int]
    fields: list[str]


class DelimitedReader:
    """Iterate over a file's rows after its header; blank lines are skipped.

    Yields a ``DelimitedRow``, or a ``RowProblem`` for a row that is not UTF-8, has a NUL byte, a quote that never
    closes, more than ``MAX_ROW_BYTES`` or another number of columns than the header.
    """

    def __init__(self, file: BinaryIO, delimiter: str = "\t") -> None:
        """Read the header.

        Raises:
            ValueError: the file has no header, or it is not UTF-8 text.
        """
        _raise_field_limit()
        self._source = _Lines(file)
        self._parser = csv.reader(self._source, delimiter=delimiter)
        self.header = self._read_header()

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return self._source.offset

    def __iter__(self) -> Iterator[DelimitedRow | RowProblem]:
        while True:
            row = self._next_row(len(self.header))
            if row is None:
                return
            if isinstance(row, RowProblem) or not _is_blank(row.fields):
                yield row

    def _read_header(self) -> list[str]:
        row = self._next_row(None)
        if row is None:
            raise ValueError("the file is empty")
        if isinstance(row, RowProblem):
            raise ValueError(f"the header is not readable: {row.why}")  # noqa: TRY004  (a wrong file, no wrong type)
        return [name.strip() for name in row.fields]

    def _next_row(self, n_columns: int | None) -> DelimitedRow | RowProblem | None:
        source = self._source
        source.begin_row()
        malformed: RowProblem | None
        try:
            fields = next(self._parser)
        except StopIteration:
            return None
        except csv.Error as error:
            fields, malformed = [], RowProblem(source.first_line, "quoting", _one_sentence(error))
        else:
            malformed = self._malformed(fields, n_columns)
        if malformed is not None:
            source.rewind_to_second_line()
        return malformed or source.unreadable or DelimitedRow(source.first_line, source.span, fields)

    def _malformed(self, fields: list[str], n_columns: int | None) -> RowProblem | None:
        source = self._source
        if source.too_long:
            return RowProblem(source.first_line, "size", f"the row has more than {MAX_ROW_BYTES} bytes")
        if source.cut_off:
            return RowProblem(source.first_line, "quoting", "a quote opens and never closes")
        if n_columns is None or len(fields) == n_columns or _is_blank(fields):
            return None
        why = f"{len(fields)} columns where the header has {n_columns}"
        return RowProblem(source.first_line, "columns", why)


def parse_row(content: bytes, delimiter: str = "\t") -> list[str]:
    """Return the fields of one row from its bytes, as ``DelimitedReader`` would.

    Raises:
        ValueError: the bytes are no longer one row of UTF-8 text (the file has changed).
    """
    _raise_field_limit()
    text = content.decode("utf-8")
    if '"' not in text:
        # Several times as fast, and a run reads an image for every few questions.
        return text.rstrip("\r\n").split(delimiter)
    # newline="\n": the file was cut at line feeds only, so a carriage return must not end a line here.
    lines = io.StringIO(text, newline="\n")
    try:
        rows = list(csv.reader(lines, delimiter=delimiter))
    except csv.Error as error:
        raise ValueError(str(error)) from None
    if len(rows) != 1:
        raise ValueError(f"one row was split into {len(rows)}")
    return rows[0]


class _Lines:
    """Feed physical lines to a ``csv.reader`` on demand, and remember where the row began.

    ``csv.reader`` never asks for more lines than the row needs, so after a row the offset is its end; and it
    asks for a line that the file does not have only when a quote is still open.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.offset = len(_BOM) if file.read(len(_BOM)) == _BOM else 0
        file.seek(self.offset)
        self._line = 1
        self.begin_row()

    def begin_row(self) -> None:
        self.first_line = self._line
        self._start = self.offset
        self._second_line = self.offset
        self.cut_off = False
        self.too_long = False
        self.unreadable: RowProblem | None = None

    @property
    def span(self) -> tuple[int, int]:
        return self._start, self.offset - self._start

    def rewind_to_second_line(self) -> None:
        self.offset = self._second_line
        self._line = self.first_line + 1
        self._file.seek(self.offset)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        in_row = self.offset > self._start
        raw = self._file.readline(MAX_ROW_BYTES + 1)
        if not raw:
            self.cut_off = in_row
            raise StopIteration
        self.offset += len(raw) + self._skip_rest_of_line(raw)
        self._line += 1
        if not in_row:
            self._second_line = self.offset
        if self.offset - self._start > MAX_ROW_BYTES:
            self.too_long = True
            if in_row:
                raise StopIteration  # ends the row here, unfinished
            return ""
        return self._decode(raw)

    def _skip_rest_of_line(self, raw: bytes) -> int:
        skipped = 0
        while len(raw) > MAX_ROW_BYTES and not raw.endswith(b"\n"):
            raw = self._file.readline(MAX_ROW_BYTES + 1)
            skipped += len(raw)
            if not raw:
                break
        return skipped

    def _decode(self, raw: bytes) -> str:
        if b"\0" in raw:
            why = "a NUL byte; the file must be UTF-8 text"
            self.unreadable = RowProblem(self.first_line, "encoding", why)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            why = f"not UTF-8 (byte 0x{raw[error.start]:02x} on line {self._line - 1})"
            self.unreadable = RowProblem(self.first_line, "encoding", why)
            # The row is lost, but its end is still to be found.
            return raw.decode("utf-8", errors="replace")


def _is_blank(fields: list[str]) -> bool:
    return len(fields) <= 1 and not "".join(fields).strip()


def _raise_field_limit() -> None:
    # The csv module's limit of 128 KiB a field is one for the whole process and below the size of an image.
    # It is only ever raised, so that two readers, or another user of the module, do not undo each other.
    if csv.field_size_limit() < MAX_ROW_BYTES:
        csv.field_size_limit(MAX_ROW_BYTES)


def _one_sentence(error: csv.Error) -> str:
    # csv's own advice after the dash is for programmers ("do you need to open the file with newline=''?").
    return str(error).split(" - ")[0]
