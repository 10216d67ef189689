"""Boxes: what is asked for the quads' sake, and that nothing else is touched by it."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.pairs.readers.ready_made import ReadyMadeReader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RUN = "run_id = (SELECT run_id FROM runs WHERE scale = '2m')"


def test_boxes_given_later_ask_only_what_is_missing(quad_study: Any) -> None:
    """30 pairs were asked; 16 vertical partners and 6 distance pairs outside the sample come on top."""
    said = quad_study.later.err
    assert "boxes: 16 matched, 0 ambiguous, 0 no_box, 0 no_objects" in said
    assert ": 30 of 52 pairs reused" in said
    assert "complete: 22 pairs extracted, 30 reused, 0 failed of 52" in said


def test_boxes_given_later_change_no_answer(quad_study: Any) -> None:
    """Every row of the first extraction is there as it was: answer, margin, shard and place."""
    before, after = quad_study.before.predictions, quad_study.after.predictions
    assert (len(before), len(after)) == (60, 104)
    assert set(before) < set(after)


def test_boxes_given_later_change_no_metric(quad_study: Any) -> None:
    """What was computed before is equal to the bit and keeps its time; only what needs quads or perspectives is new."""
    before, after = set(quad_study.before.metrics), set(quad_study.after.metrics)
    assert before < after
    names = {row[1].split(".")[0] for row in after - before}
    assert names == {
        *("cross_axis_alignment", "axis_coherence", "perspective_cosine", "vd_ei", "zero_quads"),
        *("accuracy", "consistent_share"),
    }
    assert not [row for row in after - before if row[1] == "axis_coherence"]
    assert {row[1] for row in after - before if row[1].startswith("accuracy")} == {"accuracy.perspective"}


def test_boxes_given_later_add_the_share_of_consistent_pairs(quad_study: Any, rows: Any) -> None:
    """What the dataset gives away is kept with it: boxes tell how often depth and height agree."""
    ((value, n),) = rows(quad_study.home, "SELECT value, n FROM leaks WHERE name = 'perspective'")
    assert value is not None
    assert n > 0


def test_the_views_leave_quads_out(quad_study: Any) -> None:
    """Accuracy is row for row what it was; consistency has the same rows and those over quads besides."""
    assert quad_study.after.accuracy == quad_study.before.accuracy
    assert [row[9] for row in quad_study.after.accuracy] == [10, 10, 30, 10]
    assert set(quad_study.before.consistency) < set(quad_study.after.consistency)


def test_a_distance_pair_that_was_asked_is_not_asked_again(quad_study: Any, rows: Any) -> None:
    """Each pair has one answer a side; the 10 sampled distance pairs stay the dataset's own."""
    counted = f"""
        SELECT origin, axis, count(DISTINCT pair_id), count(*)
        FROM swap_pairs JOIN predictions USING (pair_id) WHERE {RUN} GROUP BY 1, 2 ORDER BY 1, 2
    """
    assert rows(quad_study.home, counted) == [
        ("quad", "distance", 6, 12),
        ("quad", "vertical", 16, 32),
        ("row", "distance", 10, 20),
        ("row", "horizontal", 10, 20),
        ("row", "vertical", 10, 20),
    ]


def test_a_quad_links_a_distance_pair_to_its_vertical_partner(quad_study: Any, rows: Any) -> None:
    """The partner asks about the same two objects of the same image and is called ``{index}/v``."""
    linked = """
        SELECT count(*),
            bool_and(v.pair_id = d.pair_id || '/v'),
            bool_and(v.origin = 'quad'),
            bool_and((v.subject, v.reference, v.image_sha256) = (d.subject, d.reference, d.image_sha256)),
            bool_and(v.axis = 'vertical' AND d.axis = 'distance'),
            bool_and((d.perspective = 'consistent') = ((d.category = 'far') = (v.category = 'above')))
        FROM quads
        JOIN swap_pairs AS d ON d.pair_id = distance_pair_id
        JOIN swap_pairs AS v ON v.pair_id = vertical_pair_id
    """
    assert rows(quad_study.home, linked) == [(16, True, True, True, True, True)]


def test_the_counts_are_stored_with_the_dataset(quad_study: Any, rows: Any) -> None:
    """How many distance pairs matched, were ambiguous, had no box, or named no objects."""
    ((stored,),) = rows(quad_study.home, "SELECT boxes FROM datasets")
    assert json.loads(stored)["counts"] == {"matched": 16, "ambiguous": 0, "no_box": 0, "no_objects": 0}


def test_the_metrics_over_quads_count_the_quads(quad_study: Any, rows: Any) -> None:
    """All 16, unsampled ones included; perspective counts the 10 pairs of the sample alone."""
    of_all = f"SELECT DISTINCT n FROM metrics WHERE {RUN} AND subset = 'all' AND layer = 0 AND "
    quads = "name = 'cross_axis_alignment.canonical' AND target = 'per_sample'"
    by_perspective = (
        f"SELECT sum(n) FROM metrics WHERE {RUN} AND subset = 'all' AND layer = 0 "
        "AND name = 'axis_coherence.perspective'"
    )
    assert rows(quad_study.home, of_all + quads) == [(16,)]
    assert rows(quad_study.home, by_perspective) == [(10,)]


def test_every_check_holds_with_quads(quad_study: Any, inside: Any) -> None:
    """Also for the scale that got its boxes later, and for one whose run is complete without them."""
    checks = json.loads(inside("db", "check", "--json", "--home", quad_study.home).ok().out)
    assert [check["rows"] for check in checks] == [0] * len(checks)


def test_the_same_boxes_again_ask_nothing(quad_study: Any, extract: Callable[..., Any]) -> None:
    """Neither with boxes nor without them does a finished run ask a pair twice."""
    again = extract(quad_study.home, quad_study.data, "--boxes", quad_study.boxes, "--max-per-category", 5)
    without = extract(quad_study.home, quad_study.data, "--max-per-category", 5)
    assert "complete already, all 52 pairs reused" in again.ok().err
    assert "complete already, all 30 pairs reused" in without.ok().err


def test_other_boxes_later_are_refused_in_a_line(
    quad_study: Any, extract: Callable[..., Any], tmp_path: Path, rows: Any
) -> None:
    """Answers made with the first boxes are in the database; the line says what there was and the way out."""
    other = tmp_path / "other.json"
    other.write_text(json.dumps(json.loads(quad_study.boxes.read_text())[:-1]))
    ran = extract(quad_study.home, quad_study.data, "--boxes", other, "--max-per-category", 5)
    assert ran.code == 2
    (line,) = ran.errors
    assert "16 matched" in line
    assert "15 matched" in line
    assert "--home" in line
    assert rows(quad_study.home, "SELECT count(*) FROM quads") == [(16,)]


@pytest.mark.full
def test_boxes_that_fit_no_pair_give_way_to_the_right_ones(
    benchmark: Callable[..., Path], extract: Callable[..., Any], tmp_path: Path, rows: Any
) -> None:
    """The file of another benchmark was given by mistake: nothing was asked for it, so nothing stands in the way."""
    data, home, wrong = benchmark(4), tmp_path / "home", tmp_path / "wrong.json"
    boxes = json.loads((data.parent / "boxes.json").read_text())
    wrong.write_text(json.dumps([{**row, "question_id": f"other-{row['question_id']}"} for row in boxes]))
    first = extract(home, data, "--boxes", wrong).ok()
    assert "boxes: 0 matched, 0 ambiguous, 8 no_box, 0 no_objects" in first.err
    second = extract(home, data, "--boxes", data.parent / "boxes.json").ok()
    assert "boxes: 8 matched, 0 ambiguous, 0 no_box, 0 no_objects" in second.err
    assert "8 pairs extracted, 24 reused" in second.err
    assert rows(home, "SELECT count(*) FROM quads") == [(8,)]


@pytest.fixture
def extract(inside: Any, mlflow_store: dict[str, str]) -> Callable[..., Any]:
    """Extract scale 2m."""

    def run(home: Path, data: Path, *options: object) -> Any:
        command = ("extract", "tiny", "--scale", "2m", "--batch-size", 8, "--home", home, "--data", data)
        return inside(*command, *options, **mlflow_store)

    return run


@pytest.mark.full
def test_a_certificate_that_fails_for_quads_leaves_the_runs_own_answers_alone(
    benchmark: Callable[..., Path],
    extract: Callable[..., Any],
    rows: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only batches of quads are asked again the plain way: no number that was there may change."""
    from vlmprobe.families import compare

    data, home = benchmark(4), tmp_path / "home"
    everything = "SELECT * FROM predictions WHERE pair_id NOT LIKE '%/v' ORDER BY ALL"
    extract(home, data).ok()
    before = rows(home, everything)
    failing = "vlmprobe.extraction.certification.compare"
    monkeypatch.setattr(failing, lambda *found: replace(compare(*found), passed=False))
    later = extract(home, data, "--boxes", data.parent / "boxes.json").ok()
    assert "1 batches were redone" in later.err
    assert rows(home, everything) == before
    assert rows(home, "SELECT batch, passed FROM certificates ORDER BY 1") == [(0, True), (3, False)]


def _ready_made(data: Path, out: Path) -> Path:
    """Rewrite a benchmark with both questions spelled out."""
    csv.field_size_limit(10**8)
    opposite = {"far": "close", "close": "far", "above": "below"}
    opposite |= {"below": "above", "left": "right", "right": "left"}
    with data.open(newline="") as source, out.open("w", newline="") as target:
        writer = csv.DictWriter(target, ReadyMadeReader.columns, delimiter="\t")
        writer.writeheader()
        for row in csv.DictReader(source, delimiter="\t"):
            category = {"under": "below"}.get(row["category"], row["category"])
            writer.writerow(
                {
                    "index": row["index"],
                    "image_base64": row["image"],
                    "original_question": "Is the first left or right of, above or below, far or close?",
                    "swapped_question": "Is the second left or right of, above or below, far or close?",
                    "original_answer": category,
                    "swapped_answer": opposite[category],
                    "category": category,
                    "group": "",
                    "question_id": row["question_id"],
                }
            )
    return out


@pytest.mark.full
def test_ready_made_questions_name_no_objects(
    benchmark: Callable[..., Path], extract: Callable[..., Any], tmp_path: Path, rows: Any
) -> None:
    """Boxes are looked up by name, so they give no quad there; the counts say so and all else goes on."""
    data = _ready_made(benchmark(4), tmp_path / "ready.tsv")
    ran = extract(tmp_path / "home", data, "--boxes", benchmark(4).parent / "boxes.json").ok()
    assert "boxes: 0 matched, 0 ambiguous, 0 no_box, 8 no_objects" in ran.err
    assert "24 pairs extracted" in ran.err
    assert rows(tmp_path / "home", "SELECT count(*) FROM quads") == [(0,)]


@pytest.mark.full
def test_the_demos_benchmark_yields_sixty_quads_and_more(tmp_path: Path) -> None:
    """As many as it takes to tell the two perspectives apart, each with its share of counter examples."""
    from vlmprobe.demo import build_benchmark
    from vlmprobe.pairs import link_quads, read_boxes, read_dataset

    files = build_benchmark(tmp_path)
    quads = link_quads(read_dataset(files.tsv), read_boxes(files.boxes))
    assert quads.counts["matched"] == len(quads.links) >= 60
    told = list(quads.perspectives.values())
    assert min(told.count("consistent"), told.count("counter")) >= 20
