"""Makes the tables of "Is it space?" from the committed results of its studies.

``python docs/controls_page.py`` reads ``docs/results/controls/*.csv`` (see ``docs/controls_studies.py``) and fills the
marked places of ``docs/controls.md``. A test holds the page against the results.
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from controls_plan import KEYS, all_studies, name_of
from page_tables import fill_marked, markdown

from vlmprobe.pairs import DEPTH, HEIGHT, SPACE
from vlmprobe.reports.numbers import measured, p_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

DOCS = Path(__file__).resolve().parent
RESULTS = DOCS / "results" / "controls"
PAGE = DOCS / "controls.md"
AXES = tuple(map(str, SPACE.axes))
#: The axes whose names leak.
LEAKING = (str(HEIGHT), str(DEPTH))
ANGLE = f"{HEIGHT}/{DEPTH}"
NO_AXIS, CONTROLS, WORDS = "no axis", "axis, but also in the controls", "axis, of the answer's words"
OPEN, SCENE = "axis, origin open", "axis of the scene"
BLIND = {"beyond_grey": "grey", "beyond_other": "other-image"}

Row = dict[str, str]


class Bar(NamedTuple):
    """What the verdicts of some studies were meant to be."""

    says: str
    of: Callable[[Row], bool]
    meets: Callable[[Row], bool]
    least: float
    """Share of axes that must."""


BARS = (
    Bar(
        "never *axis of the scene*",
        lambda row: bool(row["verdict"]),
        lambda row: row["verdict"] != SCENE,
        1.0,
    ),
    Bar(
        "share .5: *no axis* in 95 % or more",
        lambda row: row["leak"] == "0.5",
        lambda row: row["verdict"] == NO_AXIS,
        0.95,
    ),
    Bar(
        "share .75: *no axis* or *also in the controls*",
        lambda row: row["leak"] == "0.75",
        lambda row: row["verdict"] in {NO_AXIS, CONTROLS},
        1.0,
    ),
    Bar(
        "share .9, vertical and distance: *also in the controls*",
        lambda row: row["leak"] == "0.9" and row["target"] in LEAKING,
        lambda row: row["verdict"] == CONTROLS,
        1.0,
    ),
)


def read_rows(kind: str, folder: Path = RESULTS) -> list[Row]:
    """Read the rows of finished studies; none where there is no file."""
    path = folder / f"{kind}.csv"
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def leaks_of(rows: Iterable[Row]) -> list[str]:
    """Return the shares that were studied, the smallest first."""
    return sorted({row["leak"] for row in rows}, key=float)


def verdicts_table(rows: Sequence[Row]) -> str:
    """One row per share and axis: what names tell, what coherence says, and how often each verdict was given."""
    table = []
    for leak in leaks_of(rows):
        for axis in AXES:
            found = [row for row in rows if (row["leak"], row["target"]) == (leak, axis)]
            files = {row["names"]: row for row in found}.values()
            alarms = sum(f"names {axis}" in row["alarms"] for row in files)
            counts = Counter(row["verdict"] for row in found)
            said = [counts.pop(verdict, 0) for verdict in (NO_AXIS, CONTROLS, WORDS, OPEN, SCENE)]
            table.append(
                [
                    leak,
                    axis,
                    _band([float(row["names_alone"]) for row in files]),
                    f"{alarms} of {len(files)}",
                    _band([float(row["published"]) for row in found], 3),
                    *map(str, (*said, counts.total())),
                ]
            )
    head = [
        "share",
        "axis",
        "names alone tell",
        "files with an alarm",
        "published coherence",
        "no axis",
        "also in the controls",
        "the answer's words",
        "origin open",
        "of the scene",
        "no verdict",
    ]
    return markdown(head, table)


def bars_table(rows: Sequence[Row]) -> str:
    """Hold the verdicts against what they were meant to be."""
    judged = [row for row in rows if row["verdict"]]
    table = []
    for bar in BARS:
        of = [row for row in judged if bar.of(row)]
        n = sum(map(bar.meets, of))
        met = "yes" if n >= bar.least * len(of) else "no"
        table.append([bar.says, f"{n} of {len(of)}", met if of else "not run"])
    return markdown(["what was to be", "axes", "met"], table)


def angles_table(rows: Sequence[Row]) -> str:
    """One row per share: the published VD-EI, and how often the corrected one is told from 0."""
    table = []
    for leak in leaks_of(rows):
        found = [row for row in rows if (row["leak"], row["target"]) == (leak, ANGLE)]
        old = [abs(float(row["published"])) for row in found if row["published"]]
        known = [row for row in found if row["low"]]
        away = sum(float(row["low"]) > 0 or float(row["high"]) < 0 for row in known)
        table.append([leak, str(len(found)), _band(old), str(len(known)), str(away)])
    head = ["share", "studies", "size of published VD-EI", "VD-EI with bounds", "bounds without 0"]
    return markdown(head, table)


def blind_table(rows: Sequence[Row]) -> str:
    """One row per share and blind control: what of the axes that are there is left when it is subtracted."""
    table = []
    for leak in leaks_of(rows):
        there = [row for row in rows if row["leak"] == leak and row["verdict"] not in {"", NO_AXIS}]
        for cell, name in BLIND.items():
            known = [row for row in there if row[f"{cell}_low"]]
            left = [float(row[cell]) / float(row["alpha"]) for row in known]
            resolved = sum(float(row[f"{cell}_low"]) > 0 for row in known)
            table.append([leak, name, str(len(known)), _band(left), f"{resolved} of {len(known)}"])
    return markdown(["share", "control", "axes", "share of the axis that is left", "resolved"], table)


def lies_table(rows: Sequence[Row]) -> str:
    """One row per lie, scale and axis: the old number, the balanced one, what warns, and the verdict."""
    table = []
    for row in rows:
        if row["target"] == ANGLE:
            continue
        table.append(
            [
                row["lie"],
                row["scale"],
                row["target"],
                "yes" if f"names {row['target']}" in row["alarms"] else "",
                _interval(row, "published", "published_low", "published_high"),
                _interval(row, "corrected", "low", "high"),
                "yes" if row["order_warning"] else "",
                p_value(float(row["p"])) if row["p"] else "",
                _verdict(row),
            ]
        )
    head = [
        "lie",
        "scale",
        "axis",
        "leak alarm",
        "published coherence",
        "balanced coherence",
        "order warning",
        "p",
        "verdict",
    ]
    return markdown(head, table)


def notices_table(rows: Sequence[Row]) -> str:
    """One row per lie: of how many axes each control says something, over all scales that have learnt nothing."""
    table = []
    for lie in dict.fromkeys(row["lie"] for row in rows):
        of_lie = [row for row in rows if row["lie"] == lie]
        blank = [row for row in of_lie if row["scale"] in {"random", "vanilla"} and row["target"] != ANGLE]
        alarms = of_lie[0]["alarms"] or "none"
        table.append(
            [
                lie,
                alarms,
                f"{sum(_above_zero(row, 'published_low') for row in blank)} of {len(blank)}",
                f"{sum(_above_zero(row, 'low') for row in blank)} of {len(blank)}",
                f"{sum(bool(row['order_warning']) for row in blank)} of {len(blank)}",
                _counted(blank),
            ]
        )
    head = [
        "lie",
        "`data check --leaks` names",
        "published coherence above 0",
        "balanced coherence above 0",
        "order warning",
        "verdicts",
    ]
    return markdown(head, table)


def _above_zero(row: Row, cell: str) -> bool:
    return bool(row[cell]) and float(row[cell]) > 0


def _counted(rows: Iterable[Row]) -> str:
    counts = Counter(_verdict(row) for row in rows)
    return ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common())


def _verdict(row: Row) -> str:
    controls = f" ({row['controls'].replace(':0', '')})" if row["controls"] else ""
    return f"{row['verdict']}{controls}{': ' + row['missing'] if row['missing'] else ''}"


def _interval(row: Row, value: str, low: str, high: str) -> str:
    if not row[value]:
        return "not resolved"
    if not row[low]:
        return f"{float(row[value]):.3f}"
    return measured(float(row[value]), float(row[low]), float(row[high]))


def _band(values: Sequence[float], decimals: int = 2) -> str:
    """Return the mean, and in parentheses the smallest and the largest."""
    if not values:
        return "-"
    return f"{fmean(values):.{decimals}f} ({min(values):.{decimals}f} to {max(values):.{decimals}f})"


def missing_line(folder: Path = RESULTS) -> str:
    """Say which studies were not run."""
    done = {name_of(kind, row) for kind in KEYS for row in read_rows(kind, folder)}
    missing = [study.name for study in all_studies() if study.name not in done]
    return f"Not run yet: {', '.join(missing)}." if missing else "Every study was run."


def fill(page: str, folder: Path = RESULTS) -> str:
    """Return the page with each marked place filled anew."""
    random, lies = read_rows("random-weights", folder), read_rows("lies", folder)
    blocks = {
        "missing": missing_line(folder),
        "bars": bars_table(random),
        "verdicts": verdicts_table(random),
        "angles": angles_table(random),
        "blind": blind_table(random),
        "notices": notices_table(lies),
        "lies": lies_table(lies),
    }
    return fill_marked(page, blocks, PAGE.name)


def main() -> None:
    """Fill the page."""
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
