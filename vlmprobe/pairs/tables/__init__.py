"""Files of rows, told apart by their content: TSV, CSV, JSONL, JSON and parquet.

Each kind is a module with its table and the image source of its cells; ``row.py`` says what a table provides.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from vlmprobe.pairs.tables.json_document import MAX_DOCUMENT_BYTES, JsonDocument
from vlmprobe.pairs.tables.json_lines import JsonLines, parse_object
from vlmprobe.pairs.tables.parquet import ParquetTable
from vlmprobe.pairs.tables.row import MAX_ROW_BYTES, Row, Table, unreadable
from vlmprobe.pairs.tables.text import TextTable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["MAX_ROW_BYTES", "Row", "Table", "open_table", "unreadable"]

_PARQUET_MAGIC = b"PAR1"
_BOM = b"\xef\xbb\xbf"


@contextmanager
def open_table(path: Path) -> Iterator[Table]:
    """Open a file of rows.

    Raises:
        InputError: it is empty, damaged or not text, and no parquet file either.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(2**16)
        if start.startswith(_PARQUET_MAGIC):
            with ParquetTable(path) as table:
                yield table
            return
        bare = start.removeprefix(_BOM).lstrip()
        if bare.startswith(b"["):
            yield JsonDocument(path, file)
        elif bare.startswith(b"{"):
            yield JsonLines(path, file) if _is_lines(file) else JsonDocument(path, file)
        else:
            yield TextTable(path, file)


def _is_lines(file: BinaryIO) -> bool:
    """Return whether a file that begins with an object is JSONL rather than one document over several lines."""
    file.seek(0)
    line = b"\n"
    while line and not line.removeprefix(_BOM).strip():
        line = file.readline(MAX_ROW_BYTES)
    try:
        parse_object(line.removeprefix(_BOM))
    except ValueError:
        return not _is_document(file)
    return True


def _is_document(file: BinaryIO) -> bool:
    file.seek(0)
    content = file.read(MAX_DOCUMENT_BYTES + 1)
    if len(content) > MAX_DOCUMENT_BYTES:
        return False
    try:
        json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return False
    return True
