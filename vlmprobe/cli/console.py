"""Prints results to stdout: rows as a table, as JSON or as CSV."""

from __future__ import annotations

import csv
import io
import json
import sys
from typing import TYPE_CHECKING, Any

from vlmprobe.console import plain_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["print_rows", "rows_as_text", "shown"]


def print_rows(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str] | None = None,
    *,
    as_json: bool = False,
    as_csv: bool = False,
    empty: str = "no rows",
) -> None:
    """Print rows as a table, as JSON (full precision, null for no data) or as CSV (full precision)."""
    names = list(columns) if columns is not None else list(rows[0]) if rows else []
    if as_json:
        plain = [{name: _plain(row.get(name)) for name in names} for row in rows]
        sys.stdout.write(json.dumps(plain, indent=1) + "\n")
    elif as_csv:
        _print_csv(rows, names)
    elif not rows:
        sys.stdout.write(f"{empty}\n")
    else:
        _print_table(rows, names)


def rows_as_text(
    rows: Sequence[Mapping[str, Any]], *, as_json: bool = False, as_csv: bool = False, empty: str = "no rows"
) -> str:
    """Return what :func:`print_rows` prints into a file or a pipe."""
    from contextlib import redirect_stdout

    text = io.StringIO()
    with redirect_stdout(text):
        print_rows(rows, as_json=as_json, as_csv=as_csv, empty=empty)
    return text.getvalue()


def _print_csv(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    field = _on_terminal if sys.stdout.isatty() else _plain
    writer.writerow(map(field, names))
    writer.writerows([field(row.get(name)) for name in names] for row in rows)


def _print_table(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    from rich import box
    from rich.console import Console as RichConsole
    from rich.table import Table
    from rich.text import Text

    on_terminal = sys.stdout.isatty()
    # In a file or a pipe nothing may be cut or wrapped: the next program reads lines.
    console = RichConsole(highlight=False) if on_terminal else RichConsole(highlight=False, width=100_000)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in names:
        numeric = any(isinstance(row.get(name), (int, float)) for row in rows)
        table.add_column(
            Text(plain_text(name)), justify="right" if numeric else "left", no_wrap=numeric, overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(plain_text(shown(row.get(name)))) for name in names))
    console.print(table)


def shown(value: Any) -> str:
    """Return a value as a table shows it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        from vlmprobe.reports.numbers import rounded

        # Half up, as DuckDB's round() and the report do it: the three must print the same digits.
        plain = value == 0 or 1e-3 <= abs(value) < 1e6
        return "n/a" if value != value else rounded(value) if plain else f"{value:.3e}"
    return str(value)


def _on_terminal(value: Any) -> Any:
    plain = _plain(value)
    return plain_text(plain) if isinstance(plain, str) else plain


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value != value:
        return None
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
