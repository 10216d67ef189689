"""docs/controls.md: its tables are those of the committed results, and a study can be run again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .docs_script import docs_script

ROOT = Path(__file__).resolve().parents[1]
PAGE: Any = docs_script("controls_page")
PLAN: Any = docs_script("controls_plan")
STUDIES: Any = docs_script("controls_studies")
RANDOM, LIES = (PAGE["read_rows"](kind) for kind in ("random-weights", "lies"))


def test_the_tables_are_made_from_the_results() -> None:
    """Running docs/controls_page.py changes nothing."""
    page = (ROOT / "docs" / "controls.md").read_text(encoding="utf-8")
    assert PAGE["fill"](page) == page


def test_every_study_is_whole() -> None:
    """Each has a verdict about each axis of each of its checkpoints, by one version of the rules."""
    for kind, rows in (("random-weights", RANDOM), ("lies", LIES)):
        found: dict[str, set[tuple[str, str]]] = {}
        for row in rows:
            if row["verdict"]:
                found.setdefault(PLAN["name_of"](kind, row), set()).add((row["scale"], row["target"]))
        studies = {study.name: study for study in PLAN["all_studies"]()}
        for name, judged in found.items():
            assert judged == {(scale, axis) for scale in studies[name].checkpoints for axis in PAGE["AXES"]}
    assert len({row["verdict_version"] for row in (*RANDOM, *LIES) if row["verdict"]}) == 1


def test_a_network_that_has_learnt_nothing_never_has_an_axis_of_the_scene() -> None:
    """Whatever the benchmark lies about; and of its axes each bar of the page is met."""
    learnt_nothing = [*RANDOM, *(row for row in LIES if row["scale"] in {"random", "vanilla"})]
    assert not [row for row in learnt_nothing if row["verdict"] == PAGE["SCENE"]]
    for line in PAGE["bars_table"](RANDOM).splitlines()[2:]:
        assert line.endswith(("| yes |", "| not run |")), line


@pytest.mark.full
def test_a_study_from_nothing(tmp_path: Path) -> None:
    """Random weights on a benchmark whose names leak, from drawing to verdicts: what is committed comes out again."""
    study = next(PLAN["all_studies"]())
    rows = STUDIES["run_study"](study, tmp_path)
    committed = [row for row in RANDOM if PLAN["name_of"](study.kind, row) == study.name]
    assert len(rows) == len(committed) == len(PAGE["AXES"]) + 1
    for row, before in zip(rows, committed, strict=True):
        said = ("target", "layer", "verdict", "controls", "rule", "alarms")
        assert [str(row.get(column, "")) for column in said] == [before[column] for column in said]
        for column in ("published", "corrected", "low", "high", "p"):
            again, value = (found.get(column) or "nan" for found in (row, before))
            assert float(again) == pytest.approx(float(value), rel=1e-3, abs=1e-4, nan_ok=True), column
