"""``vlmprobe data check --leaks`` on files whose names leak, and on one whose names do not."""

from __future__ import annotations

import base64
import csv
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from ..analysis.leaks.benchmarks import simulated
from ..command_line import InProcess


def _write(folder, pairs):
    """Write pairs as EmbSpatial-Bench does, an image each; far/close rows have two options."""
    path = folder / "bench.tsv"
    columns = ("index", "question_id", "category", "question", "image", "answer", "A", "B", "C", "D")
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", delimiter="\t")
        writer.writeheader()
        for place, pair in enumerate(pairs):
            picture = io.BytesIO()
            Image.new("RGB", (8, 6), (place % 256, place // 256, 90)).save(picture, "PNG")
            row = {"index": place, "category": pair.category, "answer": "A"}
            row["image"] = base64.b64encode(picture.getvalue()).decode()
            if pair.axis == "distance":
                # One place after the other, so that none leaks.
                options = (pair.subject, pair.reference) if place % 2 else (pair.reference, pair.subject)
                row |= {"question": "Which object is it?", "answer": "A" if place % 2 else "B"}
                row |= dict(zip("ABCD", (*options, "unknown", "unknown"), strict=True))
            else:
                row |= {"question": f"How are {pair.subject} and {pair.reference} positioned in the image?"}
                row |= {"A": pair.category}
            writer.writerow(row)
    return path


@pytest.fixture
def check(tmp_path):
    """Return a function that checks drawn pairs and returns what was printed."""

    def run(pairs, *options):
        return InProcess(tmp_path)("data", "check", _write(tmp_path, pairs), "--leaks", *options, "--quiet")

    return run


def test_a_file_whose_names_leak_says_so_with_accuracy_and_p(check):
    """Nine of ten pairs name the high thing as the canonical object; every axis tells."""
    said = check(simulated(0, leak=0.9)).ok().out
    assert "leaks before any model is asked: names horizontal, names vertical, names distance" in said
    leaks = [line for line in said.splitlines() if line.startswith("  LEAK  ")]
    assert len([line for line in leaks if "names alone tell" in line]) == 3
    assert "  LEAK  vertical: names alone tell above from below in 0." in said
    assert "p 0.001, p 0.005 after Holm)" in said


def test_the_page_prints_what_the_command_does(check):
    """The example of docs/data.md is this file's."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    shown = (
        page.partition("## What leaks before any model is asked")[2]
        .partition("```text\n")[2]
        .partition("```")[0]
    )
    said = check(simulated(0, leak=0.9)).ok().out
    assert shown.splitlines() == [line for line in said.splitlines() if line in shown.splitlines()]


def test_json_has_every_number_in_full(check):
    """And null for what is not known."""
    rows = json.loads(check(simulated(0, leak=0.9), "--json").ok().out)
    by_check = {(row["name"], row["target"]): row for row in rows}
    names = by_check["names", "vertical"]
    assert names["value"] > 0.8
    assert (names["p_value"], names["is_alarm"], names["draws"], names["seed"]) == (0.001, True, 999, 42)
    assert by_check["perspective", "distance"]["value"] is None
    assert by_check["perspective", "distance"]["reason"] == "no boxes are known"
    assert by_check["answer_option", "overall"]["value"] == 0.5
    as_csv = csv.DictReader(io.StringIO(check(simulated(0, leak=0.9), "--csv").ok().out))
    assert [row["name"] for row in as_csv] == [row["name"] for row in rows]


def test_a_file_whose_names_say_nothing_raises_no_alarm_about_them(check):
    """Nor about anything else."""
    rows = json.loads(check(simulated(1), "--json").ok().out)
    assert [row["name"] for row in rows if row["is_alarm"]] == []


def test_boxes_are_for_leaks(tmp_path):
    """Alone they would be ignored."""
    ran = InProcess(tmp_path)(
        "data", "check", _write(tmp_path, simulated(0, n_an_axis=2)), "--boxes", "b.json"
    )
    assert ran.code == 2
    assert "--leaks" in ran.err
