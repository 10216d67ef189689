"""Files of rows, told apart by their content: TSV and CSV.

Each kind is a module with its table and the image source of its cells; ``row.py`` says what a table provides.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from vlmprobe.pairs.tables.row import MAX_ROW_BYTES, Row, Table, unreadable
from vlmprobe.pairs.tables.text import TextTable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["MAX_ROW_BYTES", "Row", "Table", "open_table", "unreadable"]


@contextmanager
def open_table(path: Path) -> Iterator[Table]:
    """Open a file of rows.

    Raises:
        InputError: it is empty or not text.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        yield TextTable(path, file)
