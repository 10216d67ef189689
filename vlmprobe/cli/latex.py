"""Writes rows as a LaTeX table (package booktabs)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vlmprobe.console import plain_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["latex_table"]

_NUMBER = re.compile(r"-?[\d.]+(e-?\d+)?|--")
_SPECIAL = {
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "->": r"$\to$",
    "<": "$<$",
    ">": "$>$",
}


def latex_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """Return a ``tabular``: numbers to the right, with the digits of a table on the terminal; no data is ``--``."""
    from vlmprobe.cli.console import shown

    names = list(columns) if columns is not None else list(rows[0]) if rows else []
    cells = [["--" if row.get(name) is None else shown(row[name]) for name in names] for row in rows]
    columns_of = zip(*cells, strict=True) if cells else [()] * len(names)
    sides = ("r" if all(map(_NUMBER.fullmatch, column)) else "l" for column in columns_of)
    lines = [
        rf"\begin{{tabular}}{{{''.join(sides)}}}",
        r"\toprule",
        _line([name.replace("_", " ") for name in names]),
        r"\midrule",
        *map(_line, cells),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return " & ".join(map(_escaped, cells)) + r" \\"


def _escaped(text: str) -> str:
    plain = re.sub(r"->|[\\&%$#_{}~^±<>]", lambda found: _SPECIAL[found[0]], plain_text(text))
    # A minus sign, not a hyphen, also of bounds.
    return f"${plain}$" if re.fullmatch(r"-\d.*|\[[-+\d., ]+\]", plain) else plain
