"""The forms of benchmark that can be read: one module each, found here without being listed."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from vlmprobe.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from vlmprobe.pairs.forms import Reader
    from vlmprobe.pairs.tables import Table

__all__ = ["find_reader", "known_readers"]

_OTHER_SEPARATORS = (";", "|")


@cache
def known_readers() -> tuple[type[Reader], ...]:
    """Return the ``READER`` of every module of this package, those that need the most columns first."""
    names = [f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__)]
    readers: list[type[Reader]] = [import_module(name).READER for name in names]
    return tuple(sorted(readers, key=lambda reader: (-len(reader.columns), reader.name)))


def find_reader(path: Path, table: Table) -> type[Reader]:
    """Return the reader of a table's form.

    Raises:
        InputError: no reader knows it; the message names the closest form, and all of them.
    """
    readers = [reader for reader in known_readers() if table.kind in reader.kinds]
    missing = {reader: reader.lacks(table) for reader in readers}
    # The first one is the most particular of those that lack nothing.
    closest = min(readers, key=lambda reader: len(missing[reader]) / max(len(reader.columns), 1))
    if not missing[closest]:
        return closest
    almost = _almost(table, readers)
    if almost is not None:
        raise InputError(f"{path}{table.head} {almost}")
    lacking = ", ".join(missing[closest])
    forms = "; ".join(_described(reader) for reader in known_readers())
    raise InputError(f"{path}{table.head} lacks {lacking} of form {closest.name}; known forms: {forms}")


def _almost(table: Table, readers: list[type[Reader]]) -> str | None:
    """Say why a header of a known form is not taken for one: its separator, or how it writes names of columns."""
    if len(table.columns) == 1:
        other = next((each for each in _OTHER_SEPARATORS if each in table.columns[0]), None)
        if other is not None:
            return f"separates its columns by {other!r}; separate them by tabs (TSV) or commas (CSV)"
    written = {_plain(column): column for column in table.columns}
    for reader in readers:
        if all(_plain(column) in written for column in reader.columns):
            pairs = ((written[_plain(column)], column) for column in reader.columns)
            wrong = ", ".join(f"{ours!r} for {right!r}" for ours, right in pairs if ours != right)
            return (
                f"writes columns of form {reader.name} in another way ({wrong}); write them as the form does"
            )
    return None


def _plain(column: str) -> str:
    return column.strip().casefold().replace(" ", "_").replace("-", "_")


def _described(reader: type[Reader]) -> str:
    return f"{reader.name}: {' '.join(reader.columns)} ({', '.join(reader.kinds)})"
