"""``predictions_{scale}_{tag}.csv``: the answers and their verdicts, one line per pair."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

from vlmprobe.errors import InputError
from vlmprobe.pairs.axes import SPACE

if TYPE_CHECKING:
    from pathlib import Path

    from vlmprobe.pairs.axes import Category

__all__ = ["Prediction", "parse_verdict", "read_predictions", "text_of"]

#: Text files of the old layout are some hundred KiB. JSON of this size can take 25 times as much memory.
_MAX_TEXT = 64 * 2**20
_NEEDED = ("index", "category", "pred_orig", "pred_swap", "is_correct_orig", "is_correct_swap")
_VERDICTS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


@dataclass(frozen=True, slots=True)
class Prediction:
    """One line: the answers as the model gave them, and the verdicts as they were stored."""

    category: Category
    pred_orig: str
    pred_swap: str
    correct_orig: bool
    correct_swap: bool


def read_predictions(path: Path) -> dict[str, Prediction]:
    """Read the table; keys are the pairs' indices as text, in the file's order.

    Raises:
        InputError: a column or value is missing or no such thing, or an index comes twice; the message names
            file, line and column.
    """
    try:
        reader = csv.DictReader(StringIO(text_of(path), newline=""), strict=True)
        columns = reader.fieldnames or []
        if missing := [name for name in _NEEDED if name not in columns]:
            raise InputError(
                f"{path}: column {missing[0]} is missing; the file has {', '.join(columns)[:200] or 'none'}"
            )
        found: dict[str, Prediction] = {}
        for row in reader:
            where = f"{path}:{reader.line_num}"
            if None in row or None in row.values():
                raise InputError(f"{where}: {len(columns)} columns expected; save the file again")
            pair_id = row["index"].strip()
            if not pair_id or pair_id in found:
                raise InputError(
                    f"{where}: index {pair_id[:40]!r} is empty or appears twice; each pair must appear once"
                )
            found[pair_id] = _prediction(row, where)
    except csv.Error as error:
        raise InputError(f"{path}: not a CSV file ({error}); save it again") from None
    return found


def parse_verdict(text: str) -> bool | None:
    """Read True or False, also as 1 or 0; None for anything else."""
    return _VERDICTS.get(text.strip().lower())


def text_of(path: Path) -> str:
    """Read a text file of the old layout.

    Raises:
        InputError: it is too large for one, not UTF-8, or cannot be read.
    """
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is a pipe or a device; put a file there")
    try:
        if path.stat().st_size > _MAX_TEXT:
            raise InputError(
                f"{path}: larger than {_MAX_TEXT // 2**20} MiB, too large for a file of the old layout"
            )
        return path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text ({error}); save it again") from None


def _prediction(row: dict[str, str], where: str) -> Prediction:
    try:
        category = SPACE.category(row["category"])
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None
    axis = row.get("group", "").strip()
    if axis and axis != category.axis:
        raise InputError(
            f"{where}: group {axis[:40]!r}, but category {category} belongs to {category.axis}; fix the line"
        )
    return Prediction(
        category=category,
        pred_orig=row["pred_orig"],
        pred_swap=row["pred_swap"],
        correct_orig=_verdict(row, "is_correct_orig", where),
        correct_swap=_verdict(row, "is_correct_swap", where),
    )


def _verdict(row: dict[str, str], column: str, where: str) -> bool:
    verdict = parse_verdict(row[column])
    if verdict is None:
        raise InputError(f"{where}: {column} {row[column][:40]!r}; expected True or False")
    return verdict
