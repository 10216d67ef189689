"""The published tables that ``vlmprobe reproduce`` compares with: facts, in ``published.csv`` beside this file.

Nothing is added to what was printed. Where the paper does not say how many questions or pairs a value is of, ``n`` is
None, and no test is made of it.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from importlib.resources import files
from typing import TYPE_CHECKING

from vlmprobe.analysis.catalog import ACCURACIES, AXIS_COHERENCE, VD_EI_EQ3
from vlmprobe.errors import InputError
from vlmprobe.pairs.axes import DEPTH, HEIGHT

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["PUBLISHED_LAYERS", "PublishedValue", "read_published"]

#: Family -> the layer whose geometry was published, and the number of layers of that model.
PUBLISHED_LAYERS = {"molmo": (23, 32), "nvila": (20, 28), "qwen25": (28, 36)}
_COLUMNS = ["family", "scale", "model", "benchmark", "metric", "split", "value", "unit", "n"]
#: Their name -> the name in the catalog. They asked each question as it is, which is our ``orig``.
_METRICS = {
    "accuracy": ACCURACIES["orig"].name,
    "axis_coherence": AXIS_COHERENCE.name,
    "vd_ei": VD_EI_EQ3.name,
}
#: A percentage is stored as a share, as everywhere else here.
_UNITS = {"percent": 100, "share": 1, "cosine": 1}


@dataclass(frozen=True, slots=True)
class PublishedValue:
    """One cell of a published table."""

    family: str
    scale: str
    model: str
    """As the paper calls it."""
    benchmark: str
    metric: str
    """Our name for it, or theirs where we have no such metric."""
    target: str
    """Axis or pair of axes; of accuracy the axis that the questions are about."""
    split: str
    """``all``, or a perspective: ``consistent`` or ``counter``."""
    value: float
    """A share or a cosine."""
    n: int | None
    """Questions or pairs; None = the paper does not say."""


def read_published(lines: Iterable[str] | None = None) -> list[PublishedValue]:
    """Read the bundled table, or another of the same columns.

    Args:
        lines: of a CSV file; those that begin with ``#`` are remarks. None = the bundled one.

    Raises:
        InputError: a column is missing or a value is no number; the message says in which line.
    """
    name = "published.csv"
    if lines is None:
        text = files("vlmprobe.interop").joinpath(name).read_text(encoding="utf-8")
        lines = text.splitlines()
    rows = [(number, line) for number, line in enumerate(lines, start=1) if not line.startswith("#")]
    reader = csv.DictReader(line for _, line in rows)
    if reader.fieldnames is None or list(reader.fieldnames) != _COLUMNS:
        raise InputError(f"{name}: use the columns {','.join(_COLUMNS)}")
    return [_value(row, f"{name}:{number}") for (number, _), row in zip(rows[1:], reader, strict=True)]


def _value(row: dict[str, str], where: str) -> PublishedValue:
    metric, _, axis = row["metric"].partition(" ")
    try:
        value, n = float(Decimal(row["value"]) / _UNITS[row["unit"]]), int(row["n"]) if row["n"] else None
    except (KeyError, TypeError, ValueError, InvalidOperation):
        raise InputError(
            f"{where}: value {row['value']!r}, unit {row['unit']!r} and n {row['n']!r}: use a number, one of "
            f"{', '.join(_UNITS)}, and a whole number or nothing"
        ) from None
    return PublishedValue(
        family=row["family"],
        scale=row["scale"],
        model=row["model"],
        benchmark=row["benchmark"],
        metric=_METRICS.get(metric, metric),
        target=axis or (f"{HEIGHT}/{DEPTH}" if metric == "vd_ei" else str(DEPTH)),
        split=row["split"],
        value=value,
        n=n,
    )
