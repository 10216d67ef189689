"""Writes the cells as a table for machines and one for readers."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from .outcomes import FALSE_AFTER_HOLM
from .verdicts import BARS, Cell

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["read_table", "write_tables"]

_HEAD = """# Simulation tables

For readers who want to know whether an interval covers and whether a p-value is right. Each row is one estimator in one
world whose truth is known, studied many times. `make statistics` writes this page and `cells.csv` beside it.

* coverage: how often a 95 % interval held the truth, of the studies in which there was one ("printed"). It should lie
  between {coverage[0]} and {coverage[1]}.
* false positives: how often a test rejected at 5 % where there is nothing. Between {positives[0]} and {positives[1]}.
* false positives after Holm: the same at .05 / 63, the level of the smallest of the 63 p-values with which five scales
  are compared. At most twice that, {holm:.4f}; rates have four digits here.
* false axes: how often an axis was reported where there is none. At most {axes[1]}.
* false equivalence: how often two numbers were called equivalent that differ by the margin. At most {equivalence[1]}.
* false alarms: how often a benchmark from which nothing leaks raised an alarm, over all of its checks. At most
  {alarms[1]}.
* false scene verdicts: how often an axis was called one of the scene where none follows the scene. At most {scene[1]}.
* share of verdicts: how often a study ended with this verdict. No bar.
* power: how often a test rejected where there is something. No bar.
* power at the MDE: how often a true difference as large as the printed MDE was resolved, after Holm at its strictest.
  4 of 5 are meant. Between {mde[0]} and {mde[1]}.
* bias: median of value less truth.

A cell fails when its exact 99.9 % interval lies wholly outside these bars. One that is outside by its rate alone is
studied again, ten times as often, and called borderline if it still is. Conservative cells are too wide or too
strict, with the reason. Limits are stated and not judged.

A study of the demo's deltas asks about every axis, angle and category that the tool prints. Those of one estimator
share a row. One that misses the bar by itself at 99 %, or that has a limit of its own, has a row of its own, with its
name in brackets. "studies" counts studies, not axes, and "printed" is the share of all axes of a row together.
"""


def write_tables(cells: Sequence[Cell], folder: Path, *, share: float = 1.0) -> None:
    """Write ``cells.csv`` and ``README.md``, which says so where a share of the studies was done."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "cells.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Cell)], lineterminator="\n")
        writer.writeheader()
        for cell in cells:
            writer.writerow({name: _digits(value) for name, value in asdict(cell).items()})
    (folder / "README.md").write_text(_page(cells, share), encoding="utf-8")


def read_table(folder: Path) -> list[dict[str, str]]:
    """Read ``cells.csv``."""
    with (folder / "cells.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _digits(value: str | int | float) -> str | int:
    if not isinstance(value, float):
        return value
    return "" if value != value else f"{value:.4f}"


def _page(cells: Sequence[Cell], share: float) -> str:
    counts = Counter(cell.verdict or "no bar" for cell in cells)
    text = _HEAD.format(
        coverage=BARS["coverage"],
        positives=BARS["false positives"],
        holm=BARS["false positives after Holm"][1],
        axes=BARS["false axes"],
        equivalence=BARS["false equivalence"],
        alarms=BARS["false alarms"],
        scene=BARS["false scene verdicts"],
        mde=BARS["power at the MDE"],
    )
    if share < 1:
        text += f"**This is a look at {share:.0%} of the studies, and none was done again.** "
    text += ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())) + ".\n"
    for estimator in dict.fromkeys(cell.estimator for cell in cells):
        text += (
            f"\n## {estimator}\n\n| world | measure | studies | printed | rate | median error | verdict |\n"
        )
        text += "| --- | --- | --- | --- | --- | --- | --- |\n"
        text += "".join(_row(cell) for cell in cells if cell.estimator == estimator)
    return text


def _row(cell: Cell) -> str:
    digits = 4 if cell.measure == FALSE_AFTER_HOLM else 3
    numbers = (f"{cell.printed:.2f}", f"{cell.rate:.{digits}f}", f"{cell.bias:+.3f}")
    shown = ("-" if "nan" in number else number for number in numbers)
    verdict = (
        f"{cell.verdict}: {cell.reason}"
        if cell.verdict and cell.reason
        else cell.verdict or cell.reason or "-"
    )
    return f"| {cell.world} | {cell.measure} | {cell.studies} | " + " | ".join(shown) + f" | {verdict} |\n"
