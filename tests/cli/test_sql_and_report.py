"""One truth: SQL, DuckDB alone, the report and the table give the same numbers."""

from __future__ import annotations

import csv
import json
from html.parser import HTMLParser
from typing import Any

import pytest

QUERY = "select family, scale, axis, acc_both from accuracy order by 1,2,3"


class _Headline(HTMLParser):
    """Reads the report's first table: a row a scale, a column an axis, the accuracy first in each cell."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[list[str]]]] = []
        self._in_cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in {"th", "td"}:
            self.tables[-1][-1].append([])
            self._in_cell = True
        elif tag == "span" and self._in_cell and "data-value" in dict(attrs):
            self.tables[-1][-1][-1].append(f"={dict(attrs)['data-value']}")

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = self._in_cell and tag not in {"th", "td"}

    def handle_data(self, data: str) -> None:
        if self._in_cell and data.strip():
            self.tables[-1][-1][-1].append(data.strip())


def _in_report(page: str) -> dict[tuple[str, str], tuple[float, str]]:
    """Return (scale, axis) -> accuracy in full, and as printed."""
    parser = _Headline()
    parser.feed(page)
    head, *body = parser.tables[0]
    found = {}
    for (name, *_), *cells in body:
        for (axis, *_), (exact, printed, *_) in zip(head[2:], cells[1:], strict=True):
            found[name, axis] = (float(exact.removeprefix("=")), printed)
    return found


def test_sql_duckdb_report_and_summary_agree(study: Any, vlmprobe: Any, rows: Any) -> None:
    """Both-correct accuracy of two scales on three axes and overall, to the last bit."""
    stored = rows(study.home, QUERY)
    by_sql = json.loads(vlmprobe("sql", QUERY, "--json", "--home", study.home).ok().out)
    report = _in_report((study.out / "report.html").read_text())
    with (study.out / "summary.csv").open() as stream:
        summary = {(row["scale"], row["axis"]): float(row["acc_both"]) for row in csv.DictReader(stream)}

    exact = {(scale, axis): value for _, scale, axis, value in stored}
    assert len(exact) == 8
    assert {(row["scale"], row["axis"]): row["acc_both"] for row in by_sql} == exact
    assert summary == exact
    assert {key: value for key, (value, _) in report.items()} == {
        (f"tiny @ {scale}", axis): value for (scale, axis), value in exact.items()
    }


@pytest.mark.of_a_file  # Postgres has neither printf nor round for floats
def test_they_are_printed_as_duckdb_rounds_them(study: Any, vlmprobe: Any, rows: Any) -> None:
    """Four decimals of what SQL gives; in the report as many as the bounds allow, 0.04 to 0.4 wide in this study."""
    rounded = rows(
        study.home, "select scale, axis, printf('%.4f', round(acc_both, 4)) from accuracy order by 1, 2"
    )
    report = _in_report((study.out / "report.html").read_text())
    printed = vlmprobe("sql", QUERY, "--home", study.home).ok().out.splitlines()[2:]
    for scale, axis, _ in rounded:
        text = report[f"tiny @ {scale}", axis][1]
        decimals = len(text.partition(".")[2])
        assert decimals in {2, 3}
        stored = f"select printf('%.{decimals}f', round(acc_both, {decimals})) from accuracy "
        assert rows(study.home, stored + f"where scale = '{scale}' and axis = '{axis}'") == [(text,)]
    assert [tuple(line.split()[1:]) for line in printed] == rounded


def test_the_trained_scale_is_the_better_one(study: Any, rows: Any) -> None:
    """What the demo is about: left and right are learnt between vanilla and 2m."""
    found = dict(rows(study.home, "select scale, acc_both from accuracy where axis = 'horizontal'"))
    assert found["2m"] > found["vanilla"] + 0.3
