"""One benchmark asked in several wordings: a run each, of a model that is loaded once."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ASKED = ("published", "options-swapped", "yes-no")
KNOWN = "balanced, four-options, mention-swapped, options-swapped, published, three-options, yes-no, yes-no-opposite"


@pytest.fixture(scope="module")
def command(inside: Any, mlflow_store: dict[str, str]) -> Callable[..., Any]:
    """Run a command on a home."""

    def run(home: Path, *arguments: object) -> Any:
        return inside(*arguments, "--home", home, "--experiment", "templates", **mlflow_store)

    return run


@pytest.fixture(scope="module")
def ask(inside: Any) -> Callable[..., Any]:
    """Run a command that logs nothing to MLflow on a home."""

    def run(home: Path, *arguments: object) -> Any:
        return inside(*arguments, "--home", home)

    return run


def test_the_model_is_loaded_once_for_all_templates(panel: Any) -> None:
    """Each template is a run that says so in its name; the published one needs no word."""
    said = panel.extracted.err
    assert said.count("loading ") == 1
    for name in ("tiny @ 2m", "tiny @ 2m (options-swapped)", "tiny @ 2m (yes-no)"):
        assert f"{name}: complete: 32 pairs extracted, 0 reused, 0 failed of 32" in said


def test_the_list_of_runs_names_the_template(panel: Any, ask: Any) -> None:
    """In the order in which they were asked."""
    found = json.loads(ask(panel.home, "runs", "--json").ok().out)
    assert [(row["scale"], row["template"], row["pairs"]) for row in found] == [
        ("vanilla", "published", 32),
        *(("2m", template, 32) for template in ASKED),
    ]


def test_each_run_is_asked_its_templates_questions(panel: Any, rows: Any) -> None:
    """One dataset; the same pairs of it, quads' partners included, with other words and other right answers."""
    counted = "SELECT template, count(*), count(DISTINCT pair_id) FROM swap_pairs GROUP BY 1 ORDER BY 1"
    assert rows(panel.home, "SELECT count(*) FROM datasets") == [(1,)]
    assert rows(panel.home, counted) == [(template, 32, 32) for template in sorted(ASKED)]
    asked = """
        SELECT DISTINCT template, substr(orig_question, 1, 6), least(orig_expected, swap_expected),
            greatest(orig_expected, swap_expected)
        FROM swap_pairs WHERE axis = 'vertical' ORDER BY ALL
    """
    assert rows(panel.home, asked) == [
        ("options-swapped", "Is the", "above", "below"),
        ("published", "Is the", "above", "below"),
        ("yes-no", "Is the", "no", "yes"),
    ]
    assert rows(panel.home, "SELECT template, count(*) FROM quads GROUP BY 1 ORDER BY 1") == [
        (template, 8) for template in sorted(ASKED)
    ]


def test_the_answers_are_read_in_the_templates_words(panel: Any, rows: Any) -> None:
    """Yes and no are right or wrong as left and right are: a model that was taught both answers both."""
    right = (
        "SELECT template, acc_both FROM accuracy WHERE scale = '2m' AND axis = 'horizontal' ORDER BY template"
    )
    assert rows(panel.home, right) == [("options-swapped", 1.0), ("published", 1.0), ("yes-no", 1.0)]
    parsed = """
        SELECT DISTINCT parsed FROM predictions JOIN runs USING (run_id)
        WHERE template = 'yes-no' AND parsed IS NOT NULL
    """
    assert {word for (word,) in rows(panel.home, parsed)} <= {"yes", "no"}


def test_margins_are_between_yes_and_no(panel: Any, rows: Any) -> None:
    """The two sides of a pair expect opposite words, so their margins do not both follow one habit."""
    known = """
        SELECT count(*), count(margin), count(DISTINCT margin) > 1
        FROM predictions JOIN runs USING (run_id) WHERE template = 'yes-no'
    """
    assert rows(panel.home, known) == [(64, 64, True)]


def test_metrics_over_quads_exist_under_each_template(panel: Any, rows: Any) -> None:
    """Eight quads each."""
    aligned = """
        SELECT DISTINCT template, n FROM consistency
        WHERE metric = 'cross_axis_alignment.canonical' AND target = 'per_sample' AND subset = 'all' AND scale = '2m'
        ORDER BY ALL
    """
    assert rows(panel.home, aligned) == [(template, 8) for template in sorted(ASKED)]


def test_mlflow_tells_the_runs_apart(panel: Any, mlflow_store: dict[str, str]) -> None:
    """By name, and by the parameter and tag ``template``."""
    store = mlflow_store["MLFLOW_TRACKING_URI"].removeprefix("sqlite:///")
    found = """
        SELECT runs.name, params.value, tags.value FROM runs
        JOIN params ON params.run_uuid = runs.run_uuid AND params.key = 'template'
        JOIN tags ON tags.run_uuid = runs.run_uuid AND tags.key = 'template'
        JOIN experiments USING (experiment_id) WHERE experiments.name = 'templates' AND runs.name LIKE '%2m%'
    """
    with closing(sqlite3.connect(store)) as connection:
        named = set(connection.execute(found).fetchall())
    assert named >= {
        ("tiny @ 2m", "published", "published"),
        ("tiny @ 2m (options-swapped)", "options-swapped", "options-swapped"),
        ("tiny @ 2m (yes-no)", "yes-no", "yes-no"),
    }


def test_everything_is_well(panel: Any, ask: Any) -> None:
    """Shards, rows and the database's own checks, of every template."""
    assert "4 runs, 4 shards" in ask(panel.home, "verify").ok().err


@pytest.mark.full
def test_the_same_templates_again_ask_nothing(panel: Any, command: Any, rows: Any) -> None:
    """No model is loaded; a run under a further template would be a new one."""
    again = (
        "--data",
        panel.data,
        "--boxes",
        panel.data.parent / "boxes.json",
        "--templates",
        ",".join(ASKED),
    )
    said = command(panel.home, "extract", "tiny", "--scale", "2m", *again).ok().err
    assert said.count("complete already, all 32 pairs reused") == 3
    assert "loading" not in said
    assert rows(panel.home, "SELECT count(*) FROM runs") == [(4,)]


def test_extract_prints_a_list_for_several_templates(panel: Any, command: Any) -> None:
    """And an object for one, as ever."""
    options = ("extract", "tiny", "--scale", "2m", "--data", panel.data, "--json", "--templates")
    one = json.loads(command(panel.home, *options, "yes-no").ok().out)
    several = json.loads(command(panel.home, *options, "yes-no, published,yes-no").ok().out)
    assert one["template"] == "yes-no"
    assert [facts["template"] for facts in several] == ["yes-no", "published"]


@pytest.mark.parametrize("verb", ["extract", "run"])
def test_an_unknown_template_is_told_before_anything_is_read(ask: Any, verb: str, tmp_path: Path) -> None:
    """One line that lists the right ones, exit code 2."""
    ran = ask(tmp_path, verb, "tiny", "--scale", "2m", "--data", "no.tsv", "--templates", "published,maybe")
    assert ran.code == 2
    assert ran.errors == [f"error: unknown template 'maybe'; known: {KNOWN}"]


@pytest.mark.parametrize("verb", ["merge", "plot", "export"])
def test_an_unknown_template_to_look_at_lists_those_there_are(panel: Any, ask: Any, verb: str) -> None:
    """And one that no run is under says which there are."""
    where = ("out",) if verb == "export" else ("tiny",)
    ran = ask(panel.home, verb, *where, "--template", "maybe")
    assert (ran.code, ran.errors) == (2, [f"error: unknown template 'maybe'; known: {KNOWN}"])
    missing = ask(panel.home, verb, *where, "--template", "mention-swapped")
    assert missing.code == 2
    (line,) = missing.errors
    assert (
        "no run with template mention-swapped matches; available: published (tiny @ vanilla, tiny @ 2m)"
        in line
    )


def test_a_file_that_spells_its_questions_out_has_no_other_template(ask: Any, tmp_path: Path) -> None:
    """Told before a model is loaded."""
    from vlmprobe.pairs.readers.ready_made import ReadyMadeReader

    data = tmp_path / "ready.tsv"
    data.write_text("\t".join(ReadyMadeReader.columns) + "\n" + "\t".join(_ready_made_row(tmp_path)) + "\n")
    ran = ask(tmp_path / "home", "extract", "tiny", "--scale", "2m", "--data", data, "--templates", "all")
    assert ran.code == 2
    assert "contains its own questions (ready-made form)" in ran.errors[0]
    assert "loading" not in ran.err


def _ready_made_row(folder: Path) -> list[str]:
    import base64

    from PIL import Image

    Image.new("RGB", (32, 32)).save(folder / "image.png")
    image = base64.b64encode((folder / "image.png").read_bytes()).decode()
    return [image, "Left or right?", "Right or left?", "left", "right", "left", "", "1", "q"]
