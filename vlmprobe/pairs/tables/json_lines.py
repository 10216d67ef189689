"""JSONL files as tables: one object a line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from vlmprobe.errors import ImageError, InputError, in_one_line
from vlmprobe.pairs.cells import inline_image, kind_of
from vlmprobe.pairs.swap_pair import RowProblem
from vlmprobe.pairs.tables.row import MAX_ROW_BYTES, Row, read_span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["JsonField", "JsonLines", "parse_object"]

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class JsonField:
    """An image as base64 in a record of a JSONL file."""

    path: Path
    span: tuple[int, int]
    """Byte offset and length of the record's line."""
    key: str

    @property
    def file(self) -> None:
        """No file of its own."""

    def read(self) -> bytes:
        """Read the line again and decode the value.

        Raises:
            ImageError: there is no such value any longer, or it is no image.
            InputError: the file is gone or cannot be read.
        """
        line = read_span(self.path, self.span)
        try:
            return inline_image(parse_object(line)[self.key])
        except (ValueError, KeyError) as error:
            raise ImageError(f"no longer the record that was read ({error})") from None


class JsonLines:
    """A JSONL file; blank lines are skipped."""

    kind = "JSONL"
    unit = "line"

    def __init__(self, path: Path, file: BinaryIO) -> None:
        """Find the first record.

        Raises:
            InputError: no line is a record.
        """
        self._path, self._file = path, file
        self.position = 0
        problem: RowProblem | None = None
        for found in self._records():
            if not isinstance(found, RowProblem):
                line, _, record = found
                self.columns: tuple[str, ...] = tuple(record)
                self.head = f", line {line}: the first record"
                return
            problem = problem or found
        where = "no lines" if problem is None else f"no record; line {problem.line}: {problem.why}"
        raise InputError(f"{path}: {where}; use JSONL, one object a line")

    def rows(self, columns: Sequence[str]) -> Iterator[Row | RowProblem]:
        """Yield the records; a line that is none is a problem."""
        for number, found in enumerate(self._records(), start=1):
            if isinstance(found, RowProblem):
                yield found
                continue
            line, span, record = found
            cells = {column: record[column] for column in columns if column in record}
            yield Row(line, number, cells, self._path.parent, partial(JsonField, self._path, span))

    def _records(self) -> Iterator[tuple[int, tuple[int, int], dict[str, object]] | RowProblem]:
        self._file.seek(0)
        self.position = len(_BOM) if self._file.read(len(_BOM)) == _BOM else 0
        self._file.seek(self.position)
        line = 0
        while raw := self._file.readline(MAX_ROW_BYTES + 1):
            line, start = line + 1, self.position
            self.position += len(raw)
            if len(raw) > MAX_ROW_BYTES:
                self._skip_rest_of_line(raw)
                yield RowProblem(line, "size", f"the row has more than {MAX_ROW_BYTES} bytes")
            elif raw.strip():
                try:
                    yield line, (start, len(raw)), parse_object(raw)
                except UnicodeDecodeError as error:
                    yield RowProblem(line, "encoding", f"not UTF-8 (byte 0x{raw[error.start]:02x})")
                except ValueError as error:
                    yield RowProblem(line, "json", str(error))

    def _skip_rest_of_line(self, raw: bytes) -> None:
        while raw and not raw.endswith(b"\n"):
            raw = self._file.readline(MAX_ROW_BYTES)
            self.position += len(raw)


def parse_object(line: bytes) -> dict[str, object]:
    """Return the JSON object in a line.

    Raises:
        ValueError: the line is not UTF-8 (``UnicodeDecodeError``), not JSON, or something other than an object.
    """
    text = line.decode("utf-8")
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON ({in_one_line(error)[:160]})") from None
    if not isinstance(record, dict):
        raise ValueError(f"{kind_of(record)}, not an object")  # noqa: TRY004  (a wrong file, no wrong type)
    return record
