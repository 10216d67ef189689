"""docs/controls.md: its tables are those of the committed results, and a study can be run again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vlmprobe.demo import Confounds

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
    """Random weights on a benchmark whose names leak: two axes are in the controls too, the third is none."""
    key = {"leak": 0.9, "names": 11, "weights": 7}
    study = PLAN["Study"]("random-weights", key, 11, Confounds(name_leak=0.9), {"random": 7})
    rows = STUDIES["run_study"](study, tmp_path)
    verdicts = {row["target"]: row["verdict"] for row in rows if "verdict" in row}
    assert verdicts == {
        "horizontal": PAGE["NO_AXIS"],
        "vertical": PAGE["CONTROLS"],
        "distance": PAGE["CONTROLS"],
    }
    assert rows[0]["alarms"] == "names vertical, names distance"
    assert set(rows[0]) <= {*PLAN["KEYS"]["random-weights"], *STUDIES["COLUMNS"]}
