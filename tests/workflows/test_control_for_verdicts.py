"""What ``control`` extracts for verdicts: which runs on which pictures, under which questions, and for which scales."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.demo import build_benchmark

if TYPE_CHECKING:
    from pathlib import Path

    from vlmprobe.demo import BenchmarkFiles

ANSWERS = ["yes-no", "yes-no-opposite"]
USUAL = ["grey", "other-image:0", "random-weights:0"]
#: Extractions before the command is stopped: of the benchmark. Of exchanged pictures and random weights it has none.
BEFORE_STOP = 1


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> BenchmarkFiles:
    """Draw four pairs an axis and their image swaps: too few to test an axis, so that no scale is left out."""
    return build_benchmark(tmp_path_factory.mktemp("swaps"), pairs_per_category=2, seed=3, image_swaps=True)


@pytest.fixture(scope="module")
def home(
    inside: Any, files: BenchmarkFiles, mlflow_store: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """Extract and analyze a scale; stop the first ``control``, and run it again."""
    import vlmprobe.workflows.control as workflow

    folder = tmp_path_factory.mktemp("verdicts")

    def run(*command: object) -> Any:
        return inside(*command, "--home", folder, **mlflow_store)

    run.folder = folder  # type: ignore[attr-defined]
    run("extract", "tiny", "--scale", "2m", "--data", files.tsv, "--batch-size", 12, "--layers", "4,5").ok()
    run("analyze", "tiny").ok()
    run.command = ("control", "tiny", "--data", files.tsv, "--image-swaps", files.swaps)  # type: ignore[attr-defined]
    extract, calls = workflow.extract_asked, []

    def stopped(*given: Any) -> Any:
        calls.append(given)
        if len(calls) > BEFORE_STOP:
            raise KeyboardInterrupt
        return extract(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workflow, "extract_asked", stopped)
        run.stopped = run(*run.command)  # type: ignore[attr-defined]
    run.first = run(*run.command, "--json")  # type: ignore[attr-defined]
    return run


@pytest.fixture(scope="module")
def listed(home: Any) -> list[dict[str, Any]]:
    """Return the runs of the home, controls too."""
    found: list[dict[str, Any]] = json.loads(home("runs", "--controls", "--json").ok().out)
    return found


def _of(listed: list[dict[str, Any]], dataset: str) -> list[tuple[str, str | None]]:
    here = [row for row in listed if row["dataset"] == dataset]
    return sorted((row["template"], row["control"]) for row in here if row["control"]) + sorted(
        (row["template"], None) for row in here if not row["control"]
    )


def test_a_scale_with_an_axis_is_asked_all_that_verdicts_need(listed: list[dict[str, Any]]) -> None:
    """Yes/no questions about both files' pictures; of each questions about another axis, and random weights (Null 3).

    All are on the same pairs.
    """
    null_1 = [(template, "other-axis") for template in ANSWERS]
    real = [(template, None) for template in ANSWERS]
    null_3 = [(template, "random-weights:0") for template in ANSWERS]
    usual = [("published", kind) for kind in USUAL]
    assert _of(listed, "benchmark") == [*usual, *sorted([*null_1, *null_3]), ("published", None), *real]
    assert _of(listed, "image_swaps") == [*sorted([*null_1, *null_3]), *real]
    assert {(row["pairs"], row["status"]) for row in listed} == {(12, "complete")}


@pytest.mark.full
def test_a_scale_without_an_axis_is_left_out_and_named(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its verdict is known already, unless someone asks for the rest; the usual controls are made all the same."""
    monkeypatch.setattr("vlmprobe.workflows.control.runs_without_axis", lambda _, runs: runs)
    ran = home(*home.command).ok()
    assert (
        "nothing was extracted for verdicts on tiny @ 2m: no axis; --also-without-axis extracts it" in ran.err
    )
    assert "controls: 0 extracted, 3 were complete already" in ran.err
    assert "yes/no runs" not in ran.err


@pytest.mark.full
def test_a_scale_without_an_axis_is_asked_if_someone_wants_it(
    home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that verdicts need, as for any other scale."""
    monkeypatch.setattr("vlmprobe.workflows.control.runs_without_axis", lambda _, runs: runs)
    asked = home(*home.command, "--also-without-axis").ok()
    assert "controls: 0 extracted, 11 were complete already" in asked.err
    assert "no axis" not in asked.err


def test_the_same_command_goes_on_where_it_was_stopped(home: Any) -> None:
    """What was complete is reused, run by run."""
    assert home.stopped.code == 130
    assert "image swaps: 12 of 12 pairs of benchmark have one in image_swaps" in home.first.err
    # All of the benchmark, then what the exchanged pictures need, then random weights.
    assert "controls: 7 extracted, 4 were complete already" in home.first.err
    assert "yes/no runs for verdicts: 2 extracted, 2 were complete already" in home.first.err


def test_what_is_asked_about_another_axis_has_no_accuracy(home: Any, rows: Any) -> None:
    """Its pairs' own relation is not what the model was asked, so right and wrong mean nothing."""
    found = rows(home.folder, "SELECT DISTINCT control FROM control_accuracy ORDER BY control")
    assert [row[0] for row in found] == USUAL


def test_the_model_is_asked_about_another_axis(home: Any, rows: Any, listed: list[dict[str, Any]]) -> None:
    """In the run's own wording; the database keeps the served run's questions, and the run says which axis it was."""
    found = rows(home.folder, "SELECT template, config FROM runs WHERE control = 'other-axis'")
    axes = {"horizontal": "vertical", "vertical": "horizontal", "distance": "horizontal"}
    canonical, opposite = (
        {"vertical": "above", "horizontal": "left"},
        {"vertical": "below", "horizontal": "right"},
    )
    ((axis,),) = set(
        rows(
            home.folder,
            "SELECT axis FROM swap_pairs INNER JOIN datasets USING (dataset_id) "
            "WHERE name = 'benchmark' AND template = 'yes-no' AND position = 0",
        )
    )
    assert len(found) == 4
    for template, text in found:
        config = json.loads(text)
        assert config["identity"]["asked_axes"] == config["control"]["axes"] == axes
        words = canonical if template == "yes-no" else opposite
        assert f" {words[axes[axis]]}" in json.dumps(config["first_prompt"])
    ((n,),) = rows(
        home.folder,
        "SELECT count(*) FROM swap_pairs WHERE axis = 'horizontal' AND orig_question LIKE '%above%'",
    )
    assert n == 0
    served = {row["run_id"]: row for row in listed}
    for row in listed:
        if row["control"] == "other-axis":
            run = served[row["serves"]]
            assert (run["template"], run["dataset"], run["control"]) == (
                row["template"],
                row["dataset"],
                None,
            )


@pytest.mark.full
def test_nothing_shows_what_is_only_for_verdicts(
    home: Any, rows: Any, files: BenchmarkFiles, undrawn: Any
) -> None:
    """No row of the table, no curve; other commands take the benchmark for the only one, as they did."""
    table = json.loads(home.first.ok().out)
    assert {row["control"] for row in table} == {*USUAL, "shuffled-labels:0"}
    drawn = rows(
        home.folder,
        "SELECT control FROM results_json INNER JOIN runs USING (run_id) WHERE name = 'control_coherence'",
    )
    assert {kind for (kind,) in drawn} == set(USUAL)
    with undrawn():
        merged = home("merge", "tiny").ok()
    assert "2 runs on image_swaps are left out" in merged.err
    # Not analyzed, and so not shown: a line says what to do.
    refused = home("merge", "tiny", "--template", "yes-no")
    assert refused.code == 2
    assert refused.errors[-1].endswith("no metrics yet; run 'vlmprobe analyze tiny' first")
    home("verify").ok()
    home("db", "check").ok()


@pytest.mark.full
def test_a_second_time_nothing_is_loaded(home: Any) -> None:
    """Every run is reused; the table is the same."""
    again = home(*home.command, "--json").ok()
    assert "controls: 0 extracted, 11 were complete already" in again.err
    assert "yes/no runs for verdicts: 0 extracted, 4 were complete already" in again.err
    assert "loading" not in again.err
    assert json.loads(again.out) == json.loads(home.first.out)


@pytest.mark.full
def test_random_weights_are_left_out_where_only_verdicts_count(home: Any) -> None:
    """No verdict rests on Null 3: of the eleven controls there are the two blind ones and the four of Null 1."""
    ran = home(*home.command, "--verdicts-only").ok()
    assert "controls: 0 extracted, 6 were complete already" in ran.err


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--kinds", "grey"), "--image-swaps is for verdicts, which need every kind; leave out --kinds"),
        (
            ("--image-swaps", "benchmark.tsv"),
            "no pair of .*benchmark.tsv is an image swap of one of .*benchmark.tsv",
        ),
        (("--image-swaps", "none.tsv"), "cannot read .*none.tsv"),
    ],
)
def test_odd_image_swaps_are_refused_in_one_line(
    home: Any, files: BenchmarkFiles, more: tuple[str, str], says: str
) -> None:
    """Before a model is loaded."""
    place = files.tsv.parent / more[1]
    ran = home(*home.command, more[0], place if more[0] == "--image-swaps" else more[1])
    assert ran.code == 2
    (line,) = ran.errors
    assert re.search(says, line), line
    assert "loading" not in ran.err


def test_another_axis_needs_answers_that_name_none(inside: Any, tmp_path: Path) -> None:
    """Before the benchmark is read."""
    ran = inside(
        "extract",
        "tiny",
        "--scale",
        "2m",
        "--data",
        tmp_path / "x.tsv",
        "--control",
        "other-axis",
        "--home",
        tmp_path,
    )
    assert ran.code == 2
    (line,) = ran.errors
    assert (
        "asks about another axis, so the answer may name none; pass --templates yes-no,yes-no-opposite"
        in line
    )
