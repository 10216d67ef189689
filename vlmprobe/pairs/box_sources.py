"""Reads rows of boxes, unchecked, from a JSON list, a parquet file or a dataset in the hub's layout."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from vlmprobe.errors import InputError, MissingPackageError, in_one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BOX_COLUMNS", "raw_rows"]

#: The columns that are read; others, such as images, are skipped.
BOX_COLUMNS = ("question_id", "objects")

#: JSON is loaded whole, and small objects take up to 50 times their text; parquet is read in pieces.
_MAX_JSON = 64 * 2**20
#: Rows in memory at once; compressed, megabytes of text in one row can come from a file of kilobytes.
_ROWS_AT_ONCE = 64
_PARQUET_MAGIC = b"PAR1"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_FILE_ENDINGS = frozenset((".json", ".jsonl", ".parquet", ".csv", ".tsv", ".txt"))


def raw_rows(source: str) -> Iterator[object]:
    """Yield the rows of a source as they are; a well-formed one is a dict.

    Args:
        source: a JSON or parquet file, told apart by its content; a folder in the hub's layout; or, where
            there is no such path, a hub dataset id such as ``FlagEval/EmbSpatial-Bench``.

    Raises:
        InputError: it is not there, cannot be read, or is something else.
        MissingPackageError: a folder or a hub id needs the ``datasets`` package.
    """
    path = Path(source)
    if path.is_dir() or (not path.exists() and _may_be_hub_id(path, source)):
        return _hub_rows(source, is_folder=path.is_dir())
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is a pipe or a device; use a file of boxes")
    try:
        with path.open("rb") as file:
            is_parquet = file.read(len(_PARQUET_MAGIC)) == _PARQUET_MAGIC
    except OSError as error:
        raise InputError(_unreadable(path, error)) from None
    return _parquet_rows(path) if is_parquet else _json_rows(path)


def _may_be_hub_id(path: Path, source: str) -> bool:
    return path.suffix.lower() not in _FILE_ENDINGS and _HUB_ID.fullmatch(source) is not None


def _json_rows(path: Path) -> Iterator[object]:
    try:
        if path.stat().st_size > _MAX_JSON:
            raise InputError(
                f"{path}: larger than {_MAX_JSON // 2**20} MiB; save the boxes as parquet, or without the images"
            )
        rows = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(_unreadable(path, error)) from None
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: neither JSON nor parquet ({in_one_line(error)[:160]}); save the boxes in one of these formats"
        ) from None
    if not isinstance(rows, list):
        raise InputError(
            f"{path}: the JSON is not a list; save a list of rows with {' and '.join(BOX_COLUMNS)}"
        )
    return iter(rows)


def _parquet_rows(path: Path) -> Iterator[object]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            _check_columns(path, file.schema_arrow.names)
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=list(BOX_COLUMNS)):
                yield from batch.to_pylist()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(
            f"{path}: damaged or unreadable parquet ({in_one_line(error)[:160]}); recreate the file"
        ) from None


def _hub_rows(source: str, *, is_folder: bool) -> Iterator[object]:
    where = f"folder {source}" if is_folder else f"no file {source!r}; the hub dataset of that name"
    try:
        import datasets
    except ImportError:
        raise MissingPackageError(
            f"{where} needs the package 'datasets', which is not installed; "
            "run: pip install datasets, or use a JSON or parquet file"
        ) from None
    try:
        loaded = datasets.load_dataset(source)
    except Exception as error:  # noqa: BLE001  (the package and its HTTP client share no error class)
        raise InputError(
            f"{where} cannot be loaded ({in_one_line(error)[:160]}); check the name and the network, "
            "or use a JSON or parquet file"
        ) from None
    # Without the other columns no image is decoded.
    for split in loaded.values():
        _check_columns(source, split.column_names)
        yield from split.select_columns(list(BOX_COLUMNS))


def _check_columns(where: object, columns: list[str]) -> None:
    missing = [name for name in BOX_COLUMNS if name not in columns]
    if missing:
        raise InputError(
            f"{where}: no column {' and '.join(missing)} (it has {', '.join(columns[:12])}); use a file of boxes"
        )


def _unreadable(path: Path, error: OSError) -> str:
    return f"cannot read {path}: {error.strerror or error}; check the path of the boxes"
