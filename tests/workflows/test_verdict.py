"""``vlmprobe verdict``: from the runs in a home to what an axis is of, or to the command that is missing."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from vlmprobe.reports.verdicts import ANSWERS
from vlmprobe.settings import Settings
from vlmprobe.store.runs import set_mlflow_run
from vlmprobe.store.tracking import Tracker
from vlmprobe.store.verdicts import verdict_tags
from vlmprobe.study.evidence import evidence_of, find_sources
from vlmprobe.study.selection import Selection
from vlmprobe.workflows.analyze import analyze
from vlmprobe.workflows.merge import merge
from vlmprobe.workflows.verdict import verdict
from vlmprobe.workspace import Workspace

from ..postgres_server import copied_home, of_home
from ..verdict_home import AXIS, PAIRS, World, add_datasets, add_run, add_world

if TYPE_CHECKING:
    from pathlib import Path

    from vlmprobe.reports.verdicts import AxisVerdict
    from vlmprobe.study.evidence import Sources

ALL = ("blind", "answers", "exchanged", "null 1")
SCENE, WORDS, NAMES = World(scene=1.0, word=0.6), World(word=1.2), World(names=1.2)
#: Scale -> its world, what was run of it, and what must be said of its axis.
SCALES = {
    "nothing": (World(), ALL, "no axis"),
    "names": (NAMES, ALL, "axis, but also in the controls (grey, other-image:0)"),
    "words": (WORDS, ALL, "axis, of the answer's words"),
    "scene": (SCENE, ALL, "axis of the scene"),
    "unexchanged": (SCENE, ALL[:2], "axis, origin open"),
    "bare": (SCENE, (), "no verdict: run the same questions with a gray picture"),
    "unanswered": (SCENE, ALL[:1], "no verdict: run the templates yes-no and yes-no-opposite"),
    "unasked": (SCENE, ALL[:3], "no verdict: run the exchanged pictures with a question about another axis"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the home once; tests that write work on a copy."""
    home = tmp_path_factory.mktemp("verdicts") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Workspace, "deliver", lambda *_, **__: None)
        workspace = opened(home)
        workspace.create_database()
        add_datasets(workspace.database)
        for scale, (world, parts, _) in SCALES.items():
            add_world(workspace, scale, world, parts)
        analyze(workspace, Selection(("tiny",), data=None), templates=("published",))
        verdict(workspace, "tiny")
    return home


def opened(home: Path) -> Workspace:
    """Open a home whose MLflow is nowhere."""
    environ = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1", **of_home(home)}
    return Workspace(Settings.load(home, environ=environ, folder=home.parent))


@pytest.fixture(scope="module")
def found(made: Path) -> list[AxisVerdict]:
    """Read the verdicts that are kept."""
    return verdict(opened(made), "tiny")


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Workspace:
    """Copy the home."""
    return opened(copied_home(made, tmp_path / "home"))


def of_scale(found: list[AxisVerdict], scale: str) -> AxisVerdict:
    """Return the verdict about the one axis with pairs."""
    (only,) = (each for each in found if (each.scale, each.axis) == (scale, str(AXIS)))
    return only


def sources_of(workspace: Workspace, **change: Any) -> Sources:
    """Find what a verdict on scale ``scene`` rests on, as if something of its run were otherwise."""
    (run,) = Selection(("tiny",), ("scene",)).complete_runs(workspace, ("published",))
    with workspace.database.transaction() as connection:
        return find_sources(connection, replace(run, **change))


@pytest.mark.parametrize("scale", SCALES)
def test_each_world_gets_the_verdict_that_is_true_of_it(found: list[AxisVerdict], scale: str) -> None:
    """The scene, the answer's words, names that grey pictures have too, and what further runs would tell."""
    judged = of_scale(found, scale)
    assert str(judged.verdict).startswith(SCALES[scale][2])
    assert judged.decided_by


@pytest.mark.parametrize(
    ("scale", "command"),
    [
        ("bare", "vlmprobe control tiny --data own.tsv"),
        ("unanswered", "vlmprobe control tiny --data own.tsv"),
        ("unexchanged", "vlmprobe control tiny --data own.tsv --image-swaps FILE"),
        ("unasked", "vlmprobe control tiny --data own.tsv --image-swaps exchanged.tsv"),
        ("scene", ""),
        ("nothing", ""),
        ("words", ""),
    ],
)
def test_what_was_not_run_has_its_command(
    made: Path, found: list[AxisVerdict], scale: str, command: str
) -> None:
    """None where all was run, or where more runs change nothing."""
    assert of_scale(found, scale).command.replace(f"{made}/", "") == command


def test_an_axis_without_pairs_has_no_verdict_and_no_command(found: list[AxisVerdict]) -> None:
    """It could not be tested; no control would help."""
    empty = [each for each in found if each.axis != str(AXIS)]
    assert len(empty) == 2 * len(SCALES)
    assert {(str(each.verdict), each.command) for each in empty} == {
        ("no verdict: the axis could not be tested over layers: it has no pairs, or too few", "")
    }


def test_exchanged_pictures_turn_the_state_as_exchanged_names_do(made: Path) -> None:
    """(d_o - d_s) / 2 has the sign and the length of h(swap) - h(orig), and what only the picture changes is gone.

    Refutes: (d_o + d_s) / 2 holds the picture and no relation.
    """
    workspace = opened(made)
    evidence = evidence_of(workspace, sources_of(workspace), 1, [str(AXIS)])[str(AXIS)]
    assert evidence.scene is not None
    assert evidence.answers is not None
    assert set(evidence.blind) == {"grey", "other-image:0"}
    signs = [1 if canonical else -1 for canonical in evidence.canonical]
    along = [float((half.space[:, 0] * signs).mean()) for half in (evidence.answers, evidence.scene)]
    assert along == pytest.approx([-2, -2], abs=0.5)
    assert evidence.null_1 is not None
    assert float((evidence.null_1.space[:, 0] * signs).mean()) == pytest.approx(0, abs=0.5)


def test_a_pair_without_an_exchanged_picture_has_no_scene(made: Path) -> None:
    """Refutes: any two pictures of one pair id are an exchange, as long as both runs were asked about it."""
    workspace = opened(made)
    sources = sources_of(workspace)
    half = {name: picture for name, picture in sources.pictures.items() if int(name) >= PAIRS // 2}
    evidence = evidence_of(workspace, replace(sources, pictures=half), 1, [str(AXIS)])[str(AXIS)]
    for each in (evidence.scene, evidence.null_1):
        assert each is not None
        assert np.flatnonzero(np.isfinite(each.space).all(axis=1)).tolist() == list(range(PAIRS // 2, PAIRS))


@pytest.mark.parametrize(
    "change", [{"fingerprint": "other weights"}, {"config": {"identity": {"dtype": "bfloat16"}}}]
)
def test_runs_of_another_model_are_no_evidence(made: Path, change: dict[str, Any]) -> None:
    """Other weights, or another number format, under the same scale's name: their states have other coordinates."""
    sources = sources_of(opened(made), **change)
    assert (sources.answers, sources.exchanged, sources.null_1) == (None, None, None)


def test_a_picture_and_its_exchange_are_one_unit(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the exchange of one pair's picture is another pair's picture, both are left out together."""
    workspace = opened(made)
    monkeypatch.setattr(
        "vlmprobe.study.evidence.swapped_pictures",
        lambda *_: {str(place): f"own {place ^ 1}" for place in range(PAIRS)},
    )
    sources = sources_of(workspace)
    images = evidence_of(workspace, sources, 1, [str(AXIS)])[str(AXIS)].images
    assert images[::2] == images[1::2]
    assert len(set(images)) == PAIRS // 2


@pytest.mark.full
def test_pairs_that_a_run_was_not_asked_are_left_out_there_alone(copied: Workspace) -> None:
    """A shorter control has rows of NaN, and the verdict stands on the others."""
    (run,) = Selection(("tiny",), ("bare",)).complete_runs(copied, ("published",))
    add_run(copied, "bare", SCENE, control="grey", serves=run.run_id, pairs=60)
    found = of_scale(verdict(copied, "tiny"), "bare")
    assert found.lacks == ANSWERS
    assert [row.n_images for row in found.verdict.rows][1:] == [PAIRS, 60]


@pytest.mark.full
def test_a_verdict_is_kept_until_a_run_or_the_family_changes(
    copied: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same question again reads no states; one more control, or other p-values, ask again."""
    calls: list[str] = []
    judge = evidence_of
    monkeypatch.setattr(
        "vlmprobe.study.verdicts.evidence_of",
        lambda *each: calls.append(each[1].real.scale) or judge(*each),
    )
    first = verdict(copied, "tiny")
    assert calls == []
    (run,) = Selection(("tiny",), ("bare",)).complete_runs(copied, ("published",))
    add_run(copied, "bare", SCENE, control="grey", serves=run.run_id)
    second = verdict(copied, "tiny")
    assert calls == ["bare"]
    assert of_scale(second, "bare").runs["grey"] == "bare-published-own-grey"
    assert [each for each in second if each.scale != "bare"] == [
        each for each in first if each.scale != "bare"
    ]
    add_run(copied, "bare", SCENE, control="grey", serves=run.run_id, run_id="bare grey again")
    assert of_scale(verdict(copied, "tiny"), "bare").runs["grey"] == "bare-grey-again"
    monkeypatch.setattr("vlmprobe.study.findings.holm", lambda p_values: [None for _ in p_values])
    calls.clear()
    assert {str(each.verdict.origin) for each in verdict(copied, "tiny")} == {"no verdict"}


def test_what_is_kept_says_which_runs_it_rests_on(made: Path, rows: Any) -> None:
    """In ``results_json`` of the real run, at its layer, with the version of the rules; the digest covers it."""
    ((layer, version, value),) = rows(
        made,
        "SELECT layer, version, value FROM results_json WHERE name = 'verdict' AND run_id LIKE 'scene%'",
    )
    kept = json.loads(value)
    assert layer == 1
    assert version >= 1
    assert kept["axes"][str(AXIS)]["says"] == "axis of the scene"
    assert kept["basis"]["n_tests"] == len(SCALES)
    assert set(kept["basis"]["runs"]) == {
        *("real", "grey", "other-image:0", "yes-no", "yes-no-opposite"),
        *("yes-no, exchanged", "yes-no-opposite, exchanged"),
        *("yes-no, other-axis", "yes-no-opposite, other-axis"),
        *("yes-no, exchanged, other-axis", "yes-no-opposite, exchanged, other-axis"),
    }
    with opened(made).database.transaction() as connection:
        from vlmprobe.store.metrics import digest_matches

        assert digest_matches(connection, "scene-published-own-real")


def test_one_scale_keeps_the_family_of_all(made: Path, found: list[AxisVerdict]) -> None:
    """Refutes: choosing a scale after looking makes its p-value smaller."""
    one = verdict(opened(made), "tiny", scales=["scene"])
    assert one == [each for each in found if each.scale == "scene"]


def test_the_command_prints_verdicts_rows_and_what_is_missing(inside: Any, made: Path) -> None:
    """A line for a scale and axis; with --rows every condition; numbers in full as JSON."""

    def run(*words: str) -> Any:
        return inside("verdict", "tiny", "--home", made, *words).ok()

    ran = run()
    assert ran.out.splitlines()[0].split() == ["scale", "axis", "layer", "verdict", "decided_by"]
    assert "axis of the scene" in ran.out
    assert "no run without the picture of tiny @ bare: run 'vlmprobe control tiny --data" in ran.err
    assert "rule that does not hold need not have been shown to be false" in ran.err
    found = json.loads(run("--scale", "scene", "--json").out)
    assert (found[0]["axis"], found[0]["verdict"]) == (str(AXIS), "axis of the scene")
    conditions = json.loads(run("--scale", "scene", "--rows", "--json").out)
    of_axis = [row for row in conditions if row["axis"] == str(AXIS)]
    assert {row["rule"] for row in of_axis} == {1, 2, 3, 4, 5, 6, "beside"}
    assert all(row["holds"] == "yes" for row in of_axis if row["rule"] != "beside")
    beside = {row["statistic"]: row for row in of_axis if row["rule"] == "beside"}
    assert 0.3 < beside["scene_word.cosine"]["value"] < 1.1
    assert {row["low"] for row in beside.values()} == {None}
    refused = inside("verdict", "tiny", "--home", made, "--scale", "none")
    assert (refused.code, len(refused.errors)) == (2, 1)


@pytest.mark.full
def test_the_report_has_the_verdicts_near_its_top(copied: Workspace, undrawn: Any, tmp_path: Path) -> None:
    """Before the tables of axes, with what decided, and the commands of what is missing."""
    with undrawn():
        page = merge(copied, Selection(("tiny",)), out=tmp_path / "out").report.read_text()
    section = page.partition('<section id="verdicts">')[2].partition("</section>")[0]
    assert page.index('id="accuracy"') < page.index('id="verdicts"') < page.index('id="axes"')
    assert "<td>axis of the scene</td>" in section
    assert "vlmprobe control tiny --data" in section
    assert "scene_word.cosine" in section


@pytest.mark.full
def test_mlflow_is_told_new_verdicts(copied: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """As tags of the real run; any later delivery of it sets them again."""
    told: dict[str, Any] = {}
    monkeypatch.setattr(Tracker, "tag", lambda _, mlflow_run_id, tags: told.update({mlflow_run_id: tags}))
    with copied.database.transaction() as connection:
        set_mlflow_run(connection, "bare-published-own-real", "in mlflow")
        set_mlflow_run(connection, "words-published-own-real", "another")
    verdict(copied, "tiny")
    assert told == {}
    add_run(copied, "bare", SCENE, control="grey", serves="bare-published-own-real")
    verdict(copied, "tiny")
    assert list(told) == ["in mlflow"]
    assert told["in mlflow"][f"vlmprobe.verdict.{AXIS}"].startswith("no verdict: run the templates")
    with copied.database.transaction() as connection:
        tags = verdict_tags(connection, "words-published-own-real")
    assert tags[f"vlmprobe.verdict.{AXIS}"] == "axis, of the answer's words"
