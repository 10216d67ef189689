"""What ``robustness`` says of exchanged pictures: over all layers, and what Null 2 and Null 3 add."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.analysis.controls import WORD_LEFT, WORD_OUT
from vlmprobe.demo import build_benchmark
from vlmprobe.pairs import SPACE
from vlmprobe.settings import Settings
from vlmprobe.study.pictured import NO_BOXES, NOT_EXCHANGED, Pictured
from vlmprobe.study.scene_layers import NO_EXCHANGE, NO_NULL_1, NO_NULL_3
from vlmprobe.study.selection import Selection
from vlmprobe.workflows.analyze import analyze
from vlmprobe.workflows.robustness import robustness
from vlmprobe.workflows.verdict import verdict
from vlmprobe.workspace import Workspace

from ..postgres_server import copied_home, of_home
from ..verdict_home import AXIS, LAYERS, PAIRS, World, add_datasets, add_world

if TYPE_CHECKING:
    from vlmprobe.reports.robustness import RobustnessRow

ALL = ("blind", "answers", "exchanged", "null 1")
#: Scale -> its world, and what was run of it.
SCALES = {
    "scene": (World(scene=1.0, word=0.6), (*ALL, "null 3")),
    "turned": (World(scene=1.0, word=0.6, turned=1.5), ALL),
    "untrained": (World(scene=1.0, word=0.6, untrained=1.0), (*ALL, "null 3")),
    "unasked": (World(scene=1.0, word=0.6), (*ALL[:3], "half of null 3")),
    "unexchanged": (World(scene=1.0, word=0.6), ALL[:2]),
}
#: The relation that Null 1 asks about, and its opposite; the exchange turns it in the last ten pairs.
_ABOVE, _BELOW = SPACE.axis("vertical").categories
_OWN = {str(place): _ABOVE if place // 2 % 2 == 0 else _BELOW for place in range(PAIRS)}
_TURNED = {name: _OWN[name].opposite if int(name) >= PAIRS - 10 else _OWN[name] for name in _OWN}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the home once; each test works on a copy."""
    home = tmp_path_factory.mktemp("scenes") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Workspace, "deliver", lambda *_, **__: None)
        workspace = opened(home)
        workspace.create_database()
        add_datasets(workspace.database)
        for scale, (world, parts) in SCALES.items():
            add_world(workspace, scale, world, parts)
        analyze(workspace, Selection(("tiny",), data=None), templates=("published",))
    return home


def opened(home: Path) -> Workspace:
    """Open a home whose MLflow is nowhere."""
    environ = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1", **of_home(home)}
    return Workspace(Settings.load(home, environ=environ, folder=home.parent))


@pytest.fixture
def home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Copy the home, whose benchmark has no file: what it would tell of the other relation is made up."""
    monkeypatch.setattr(Workspace, "deliver", lambda *_, **__: None)
    monkeypatch.setattr(
        "vlmprobe.study.scene_layers.pictured", lambda *_: Pictured(own=_OWN, exchanged=_TURNED)
    )
    return opened(copied_home(made, tmp_path / "home"))


def scene(workspace: Workspace, scale: str) -> dict[tuple[str, int], RobustnessRow]:
    """Return the rows about exchanged pictures of the one axis with pairs."""
    rows = robustness(workspace, "tiny", Path("own"), scales=[scale])
    return {(row.metric, row.layer): row for row in rows if row.table == "scene" and row.target == str(AXIS)}


def test_every_shared_layer_has_its_numbers(home: Workspace) -> None:
    """Layer 0 is noise: no cosine there, with the reason, and no word's axis to take out.

    Objects are each pair's own, so all pairs are disjoint.
    """
    found = scene(home, "scene")
    assert {layer for _, layer in found} == set(LAYERS)
    assert found["scene_word.cosine", 0].estimate.value is None
    assert found["scene_word.cosine", 0].estimate.reason
    last = {metric: row.estimate for (metric, layer), row in found.items() if layer == 1}
    for metric in ("scene_word.cosine", "axis_coherence.scene", "axis_coherence.scene_less_null_1"):
        assert last[metric].is_resolved, metric
    assert last["axis_coherence.scene_disjoint"].value == pytest.approx(last["axis_coherence.scene"].value)
    assert last["scene_space.cosine_disjoint"].value > 0.5
    assert last["scene_space.cosine_disjoint"].ci_low is None
    for layer, note in ((0, WORD_LEFT), (1, WORD_OUT)):
        for metric in (
            "scene_word.cosine",
            *(name for name in last if name.startswith("axis_coherence.scene")),
        ):
            assert found[metric, layer].note == note, (metric, layer)
        assert found["scene_space.cosine_disjoint", layer].note == ""


def test_null_2_is_of_the_relations_that_the_exchange_leaves(home: Workspace) -> None:
    """Ten pairs whose relation is turned are left out. It holds 0 where nothing turns with the other relation."""
    row = scene(home, "scene")["null_2.size", 1]
    assert (row.n, row.note) == (PAIRS - 10, "holds 0")
    assert row.estimate.ci_low <= 0 <= row.estimate.ci_high
    turned = scene(home, "turned")["null_2.size", 1]
    assert (turned.n, turned.note) == (PAIRS - 10, "does not hold 0")


def test_a_verdict_says_that_null_2_does_not_hold(home: Workspace) -> None:
    """Once ``robustness`` has looked; the verdict itself stays, and so does one whose Null 2 holds."""

    def notes() -> dict[str, tuple[str, str]]:
        return {
            each.scale: (str(each.verdict), each.verdict.note)
            for each in verdict(home, "tiny")
            if each.axis == str(AXIS)
        }

    before = notes()
    assert not any("Null 2" in note for _, note in before.values())
    for scale in ("scene", "turned"):
        scene(home, scale)
    after = notes()
    assert {scale for scale, (_, note) in after.items() if "Null 2 does not hold 0" in note} == {"turned"}
    assert {scale: says for scale, (says, _) in after.items()} == {
        scale: says for scale, (says, _) in before.items()
    }


def test_null_3_is_what_the_exchange_does_to_random_weights(home: Workspace) -> None:
    """It holds 0 where these know nothing of the scene, though the run does; where they do, it says so.

    No verdict rests on it.
    """
    row = scene(home, "scene")["null_3.coherence", 1]
    assert row.estimate.ci_low <= 0 <= row.estimate.ci_high
    assert (row.n, row.note) == (PAIRS, WORD_LEFT)
    untrained = scene(home, "untrained")
    assert untrained["null_3.coherence", 1].estimate.ci_low > 0.2
    assert untrained["null_3.coherence", 0].estimate.ci_low <= 0
    own = {each.scale: each for each in verdict(home, "tiny") if each.axis == str(AXIS)}
    assert str(own["untrained"].verdict) == str(own["scene"].verdict) == "axis of the scene"
    assert not any("random-weights" in role for role in own["untrained"].runs)


def test_what_was_not_run_is_named(home: Workspace) -> None:
    """Without Null 1 only what needs none; without exchanged pictures nothing, in one row a number."""
    unasked = scene(home, "unasked")
    assert unasked["axis_coherence.scene", 1].estimate.is_resolved
    for metric in ("axis_coherence.scene_less_null_1", "scene_space.cosine_disjoint", "null_2.size"):
        assert unasked[metric, 1].estimate.reason == NO_NULL_1
    # Random weights were asked about the benchmark's own pictures alone.
    assert unasked["null_3.coherence", 1].estimate.reason == NO_NULL_3
    unexchanged = scene(home, "unexchanged")
    assert {row.estimate.reason for row in unexchanged.values()} == {NO_EXCHANGE}
    assert len({layer for _, layer in unexchanged}) == 1


def test_why_no_relation_is_known() -> None:
    """Turned in all pairs, as the demo's whole exchange does; or not known, since there are no boxes."""
    turned = Pictured(own=_OWN, exchanged={name: each.opposite for name, each in _OWN.items()})
    assert [turned.kept(name) for name in _OWN] == [None] * PAIRS
    assert "turns the relation that the other question asks about, too, in 100 pairs" in turned.why_none(_OWN)
    assert Pictured(own=_OWN, exchanged={}).why_none(_OWN) == NO_BOXES


@pytest.mark.full
def test_the_demo_shows_null_2_where_only_the_own_axis_is_exchanged(
    inside: Any, mlflow_store: dict[str, str], tmp_path: Path
) -> None:
    """All pairs keep the other relation, by the boxes of both files; a whole exchange leaves none, and says so."""
    files = build_benchmark(
        tmp_path / "bench", pairs_per_category=8, seed=3, image_swaps=True, swap_own_axis=True
    )

    def run(*words: object) -> Any:
        return inside(*words, "--home", tmp_path / "home", **mlflow_store).ok()

    run("extract", "tiny", "--scale", "2m", "--data", files.tsv, "--batch-size", 16)
    run("control", "tiny", "--data", files.tsv, "--image-swaps", files.swaps)
    boxes = ("--boxes", files.boxes, "--swap-boxes", files.swap_boxes)
    rows = json.loads(run("robustness", "tiny", "--data", files.tsv, *boxes, "--json").out)
    null_2 = [row for row in rows if row["metric"] == "null_2.size"]
    assert {(row["target"], row["n"]) for row in null_2} == {(str(axis), 16) for axis in SPACE}
    assert len(null_2) == 3 * 6
    changed = [row for row in rows if row["metric"] == "null_2.answers_changed"]
    assert all(row["n"] == 64 and 0 <= row["value"] < 0.5 for row in changed)
    wrong = json.loads(run("robustness", "tiny", "--data", files.tsv, *boxes[:3], files.boxes, "--json").out)
    reasons = {row["reason"] for row in wrong if row["metric"] == "null_2.size"}
    assert reasons == {NOT_EXCHANGED.format(n=32)}
    without = json.loads(run("robustness", "tiny", "--data", files.tsv, "--json").out)
    assert {row["reason"] for row in without if row["metric"] == "null_2.size"} == {NO_BOXES}
