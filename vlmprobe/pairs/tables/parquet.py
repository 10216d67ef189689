"""Parquet files as tables. pyarrow is imported on use."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from vlmprobe.errors import ImageError, InputError, in_one_line
from vlmprobe.pairs.cells import inline_image
from vlmprobe.pairs.swap_pair import RowProblem
from vlmprobe.pairs.tables.row import MAX_ROW_BYTES, Row, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

__all__ = ["CellReader", "ParquetCell", "ParquetTable"]

#: Read in pieces of so many bytes; else a whole column of a row group is in memory, a gigabyte of images.
_BUFFER_BYTES = 2**20
#: Rows decoded at once, and rows and bytes that are kept for threads that come a little later.
_ROWS_AT_ONCE, _ROWS_KEPT, _BYTES_KEPT = 4, 64, 64 * 2**20


class CellReader:
    """Reads single cells of a column, fast if they come roughly in order; safe in threads.

    Parquet has no way to one cell but through the row group's cells before it, and holds a page of it in memory:
    up to a thousand rows, where the row group has as many.
    """

    def __init__(self, path: Path, column: str) -> None:
        self._path, self._column = path, column
        self._lock = threading.Lock()
        self._opened: tuple[int, ...] = ()
        self._file: Any = None
        self._batches: Iterator[Any] = iter(())
        self._next = self._end = 0
        self._kept: deque[tuple[int, Any]] = deque()

    def cell(self, row: int) -> object:
        """Return the cell of a row, counted from 0.

        Raises:
            ImageError: there is no such cell any longer.
            InputError: the file is gone or cannot be read.
        """
        try:
            self._path.stat()
        except OSError as error:
            raise InputError(unreadable(self._path, error)) from None
        try:
            return self.piece(row)[0].as_py()
        except _damaged(LookupError) as error:
            self._opened = ()
            raise ImageError(f"the parquet file is damaged ({in_one_line(error)[:160]})") from None

    def piece(self, row: int) -> Any:
        """Return a row's cell as an array of length 1; pyarrow's errors come as they are."""
        with self._lock:
            self._open_again_if_changed()
            return self._find(row)

    def _open_again_if_changed(self) -> None:
        now = self._path.stat()
        stamp = (now.st_ino, now.st_size, now.st_mtime_ns)
        if stamp != self._opened:
            self._file, self._next, self._end = None, 0, 0
            self._kept.clear()
            self._opened = stamp

    def _find(self, row: int) -> Any:
        for start, batch in self._kept:
            if start <= row < start + len(batch):
                return batch.slice(row - start, 1)
        if not self._next <= row < self._end:
            self._go_to_group_of(row)
        while self._next <= row:
            start, batch = self._next, next(self._batches, None)
            if batch is None:
                raise LookupError(f"no row {row + 1}")
            self._next += len(batch)
            self._keep(start, batch.column(0))
        start, found = self._kept[-1]
        return found.slice(row - start, 1)

    def _go_to_group_of(self, row: int) -> None:
        import pyarrow.parquet as pq

        if self._file is None:
            self._file = pq.ParquetFile(self._path, buffer_size=_BUFFER_BYTES)
        start = 0
        for group in range(self._file.num_row_groups):
            end = start + self._file.metadata.row_group(group).num_rows
            if row < end:
                break
            start = end
        else:
            raise LookupError(f"no row {row + 1}")
        self._batches = self._file.iter_batches(_ROWS_AT_ONCE, row_groups=[group], columns=[self._column])
        self._next, self._end = start, end

    def _keep(self, start: int, batch: Any) -> None:
        self._kept.append((start, batch))
        while len(self._kept) > 1 and (
            len(self._kept) > _ROWS_KEPT // _ROWS_AT_ONCE
            or sum(each.nbytes for _, each in self._kept) > _BYTES_KEPT
        ):
            self._kept.popleft()


@dataclass(frozen=True, slots=True)
class ParquetCell:
    """An image in a cell of a parquet file: bytes, base64, or ``{bytes, path}``."""

    path: Path
    column: str
    row: int
    """0-based."""
    reader: CellReader = field(repr=False, compare=False)
    """Shared by the cells of the column."""

    @property
    def file(self) -> None:
        """No file of its own."""

    def read(self) -> bytes:
        """Read the cell.

        Raises:
            ImageError: there is no such cell any longer, or it is no image.
            InputError: the file is gone or cannot be read.
        """
        return inline_image(self.reader.cell(self.row))


class ParquetTable:
    """A parquet file; use it as a context manager."""

    kind = "parquet"
    unit = "row"
    head = ": the file"

    def __init__(self, path: Path) -> None:
        """Read the file's footer.

        Raises:
            InputError: it is damaged.
        """
        import pyarrow.parquet as pq

        self._path, self._size = path, path.stat().st_size
        self.position = 0
        try:
            self._file = pq.ParquetFile(path, buffer_size=_BUFFER_BYTES)
            self.columns: tuple[str, ...] = tuple(self._file.schema_arrow.names)
            self._n_rows: int = self._file.metadata.num_rows
        except _damaged() as error:
            raise InputError(_broken(path, error)) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def rows(self, columns: Sequence[str]) -> Iterator[Row | RowProblem]:
        """Yield the rows; one with a cell that cannot be read is a problem.

        Raises:
            InputError: the file is damaged.
        """
        wanted = [column for column in columns if column in self.columns]
        readers = {column: CellReader(self._path, column) for column in wanted}
        # Images are read once: the same reader has the cell at hand when its image is read.
        heavy = [column for column in wanted if self._may_hold_images(column)]
        light = [column for column in wanted if column not in heavy]
        batches = self._file.iter_batches(1, columns=light) if light else iter(())
        for number in range(1, self._n_rows + 1):
            self.position = self._size * number // self._n_rows
            try:
                pieces = _columns(next(batches), light) if light else {}
                pieces |= {name: readers[name].piece(number - 1) for name in heavy}
            except _damaged(LookupError, StopIteration) as error:
                # The footer may promise more rows than there are.
                raise InputError(_broken(self._path, error)) from None
            yield self._row(pieces, number, readers)

    def _may_hold_images(self, column: str) -> bool:
        kind = str(self._file.schema_arrow.types[self.columns.index(column)])
        return kind.startswith(("binary", "large_binary", "struct", "fixed_size_binary"))

    def _row(self, pieces: dict[str, Any], number: int, readers: dict[str, CellReader]) -> Row | RowProblem:
        cells: dict[str, object] = {}
        for name, piece in pieces.items():
            try:
                if piece.nbytes > MAX_ROW_BYTES:
                    return RowProblem(number, "size", f"more than {MAX_ROW_BYTES} bytes", name)
                cells[name] = piece[0].as_py()
            except _damaged(RecursionError, LookupError, TypeError) as error:
                return RowProblem(number, "encoding", f"cannot be read ({in_one_line(error)[:160]})", name)
        return Row(number, number, cells, self._path.parent, partial(self._hold, number - 1, readers))

    def _hold(self, row: int, readers: dict[str, CellReader], column: str) -> ParquetCell:
        return ParquetCell(self._path, column, row, readers[column])


def _columns(batch: Any, names: Sequence[str]) -> dict[str, Any]:
    """Return a batch's columns by name; of those with the same name the first."""
    return {name: batch.column(batch.schema.names.index(name)) for name in names}


def _damaged(*more: type[Exception]) -> tuple[type[Exception], ...]:
    import pyarrow as pa

    # Damaged sizes ask for more memory than there is; pyarrow decodes text when it is asked for.
    return OSError, ValueError, OverflowError, MemoryError, pa.ArrowException, *more


def _broken(path: Path, error: BaseException) -> str:
    return f"{path}: damaged or unreadable parquet ({in_one_line(error)[:160]}); recreate the file"
