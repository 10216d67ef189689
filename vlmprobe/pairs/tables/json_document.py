"""One JSON document as a table: the members of a list, or a single object."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from vlmprobe.errors import InputError, in_one_line
from vlmprobe.pairs.cells import kind_of
from vlmprobe.pairs.image_source import HeldImage
from vlmprobe.pairs.swap_pair import RowProblem
from vlmprobe.pairs.tables.row import Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["MAX_DOCUMENT_BYTES", "JsonDocument"]

#: The document is held whole, and small objects take up to 50 times their text.
MAX_DOCUMENT_BYTES = 64 * 2**20


class JsonDocument:
    """A JSON file; images in it are held in memory."""

    kind = "JSON"
    unit = "row"

    def __init__(self, path: Path, file: BinaryIO) -> None:
        """Read the document.

        Raises:
            InputError: it is larger than ``MAX_DOCUMENT_BYTES``, is not JSON, or has no object.
        """
        file.seek(0)
        content = file.read(MAX_DOCUMENT_BYTES + 1)
        if len(content) > MAX_DOCUMENT_BYTES:
            limit = MAX_DOCUMENT_BYTES // 2**20
            raise InputError(f"{path}: a JSON document larger than {limit} MiB; use JSONL, one object a line")
        try:
            # "utf-8-sig" drops a byte order mark.
            document = json.loads(content.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{path}: not JSON ({in_one_line(error)[:160]}); use JSONL, one object a line"
            ) from None
        self._records: list[object] = document if isinstance(document, list) else [document]
        self._path, self._size = path, len(content)
        self.position = 0
        first = next((place for place, each in enumerate(self._records) if isinstance(each, dict)), None)
        if first is None:
            raise InputError(f"{path}: the JSON holds no object; use JSONL, one object a line")
        record = self._records[first]
        self.columns = tuple(record) if isinstance(record, dict) else ()
        self.head = f", row {first + 1}: the first record"

    def rows(self, columns: Sequence[str]) -> Iterator[Row | RowProblem]:
        """Yield the objects; a member that is none is a problem."""
        for number, record in enumerate(self._records, start=1):
            self.position = self._size * number // len(self._records)
            if not isinstance(record, dict):
                yield RowProblem(number, "json", f"{kind_of(record)}, not an object")
                continue
            cells = {column: record[column] for column in columns if column in record}
            yield Row(number, number, cells, self._path.parent, partial(_hold, cells))


def _hold(cells: Mapping[str, object], column: str) -> HeldImage:
    return HeldImage(cells.get(column))
