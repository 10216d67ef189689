"""Writes rows as a LaTeX table (package booktabs)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vlmprobe.console import plain_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["latex_table"]

_SPECIAL = {
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
}


def latex_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """Return a ``tabular`` of rows: numbers to the right with the digits of a table on the terminal, no data ``--``."""
    from vlmprobe.cli.console import shown

    names = list(columns) if columns is not None else list(rows[0]) if rows else []
    numeric = {name for name in names if any(isinstance(row.get(name), (int, float)) for row in rows)}
    lines = [
        rf"\begin{{tabular}}{{{''.join('r' if name in numeric else 'l' for name in names)}}}",
        r"\toprule",
        _line([name.replace("_", " ") for name in names]),
        r"\midrule",
        *(_line(["--" if row.get(name) is None else shown(row[name]) for name in names]) for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return " & ".join(map(_escaped, cells)) + r" \\"


def _escaped(text: str) -> str:
    plain = re.sub(r"[\\&%$#_{}~^±]", lambda found: _SPECIAL[found[0]], plain_text(text))
    # A minus sign, not a hyphen.
    return f"${plain}$" if re.fullmatch(r"-\d.*", plain) else plain
