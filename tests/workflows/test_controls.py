"""Controls of real runs: what the model is shown, what is stored, and that nothing takes them for real runs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from vlmprobe.errors import UsageError
from vlmprobe.extraction.control import Control, ControlPictures, exchanged_images, kind_list
from vlmprobe.families.worker.qwen.family import Tiny
from vlmprobe.pairs import read_dataset
from vlmprobe.workflows.control import USUAL

from ..postgres_server import of_home

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KINDS = ["grey", "other-image:0", "random-weights:0"]


@pytest.fixture(scope="module")
def data(benchmark: Callable[..., Path]) -> Path:
    """Draw twelve pairs an axis: enough for an interval."""
    return benchmark(6)


@pytest.fixture(scope="module")
def home(
    inside: Any, data: Path, mlflow_store: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """Extract the longest trained scale and its usual controls; return how to run a command there."""
    folder = tmp_path_factory.mktemp("controls")

    def run(*command: object) -> Any:
        return inside(*command, "--home", folder, **mlflow_store)

    run.folder = folder  # type: ignore[attr-defined]
    run("extract", "tiny", "--scale", "2m", "--data", data, "--batch-size", 8).ok()
    run.command = ("control", "tiny", "--data", data, "--kinds", ",".join(USUAL), "--json")  # type: ignore[attr-defined]
    run.first = run(*run.command)  # type: ignore[attr-defined]
    return run


@pytest.fixture(scope="module")
def listed(home: Any) -> dict[str, Any]:
    """Return the runs of the home, controls too, by their kind."""
    found = json.loads(home("runs", "--controls", "--json").ok().out)
    return {row["control"] or "real": row for row in found}


def test_each_kind_is_a_run_that_serves_the_real_one(home: Any, listed: dict[str, Any]) -> None:
    """The same pairs under the same settings; only ``--controls`` lists them."""
    assert list(listed) == ["real", *KINDS]
    assert {row["pairs"] for row in listed.values()} == {36}
    assert {row["serves"] for kind, row in listed.items() if kind != "real"} == {listed["real"]["run_id"]}
    (only,) = json.loads(home("runs", "--json").ok().out)
    assert only["run_id"] == listed["real"]["run_id"]
    assert "control" not in only
    home("verify").ok()
    home("db", "check").ok()


def test_the_keys_of_real_runs_are_as_they_were(home: Any, rows: Any) -> None:
    """A real run's identity has no word of controls; a control's names its kind and the run that it serves."""
    found = rows(home.folder, "SELECT control, serves, config FROM runs ORDER BY control NULLS FIRST")
    configs = {control: json.loads(config) for control, _, config in found}
    identities = {control: config["identity"] for control, config in configs.items()}
    assert not {"control", "serves"} & set(identities[None])
    for control, serves, _ in found[1:]:
        assert (identities[control]["control"], identities[control]["serves"]) == (control, serves)
        assert configs[control]["batch_size"] == 8
    assert identities["grey"]["fingerprint"] == identities[None]["fingerprint"]
    assert identities["random-weights:0"]["fingerprint"].startswith("random-weights:0:")


def test_blind_and_untrained_models_have_no_axis_here(home: Any) -> None:
    """The demo's questions leak nothing: the interval of each control's coherence holds 0, the run's own does not."""
    table = json.loads(home.first.ok().out)
    of_angles = [row for row in table if "/" in row["axis"]]
    assert [row["control"] for row in of_angles[::3]] == [*KINDS, "shuffled-labels:0"]
    # No axis, no angle; and what is said of one axis is not said of two.
    for row in of_angles:
        assert (row["vd_ei_of_control"], row["coherence"], row["right_above"]) == (None, None, None)
        assert row["vd_ei_of_control_reason"]
    table = [row for row in table if row not in of_angles]
    assert [row["control"] for row in table[::3]] == [*KINDS, "shuffled-labels:0"]
    for row in table:
        assert row["of_control_low"] <= 0 <= row["of_control_high"], (row["control"], row["axis"])
    horizontal = [row for row in table if row["axis"] == "horizontal"]
    assert all(row["coherence_low"] > 0 and row["coherence_above_low"] > 0 for row in horizontal)
    assert {row["control"]: row["adds_an_axis"] for row in horizontal} == {
        "grey": True,
        "other-image:0": True,
        "random-weights:0": None,
        "shuffled-labels:0": None,
    }


@pytest.mark.full
def test_the_same_command_again_extracts_nothing(home: Any) -> None:
    """Controls are cached as runs are; the table is the same."""
    again = home(*home.command).ok()
    assert "0 extracted, 3 were complete already" in again.err
    assert "loading" not in again.err
    assert json.loads(again.out) == json.loads(home.first.out)


@pytest.mark.full
def test_no_command_takes_a_control_for_a_real_run(
    home: Any, data: Path, listed: dict[str, Any], undrawn: Any
) -> None:
    """``analyze``, ``merge`` and ``compare`` see one run; a control's id is no run to compare."""
    analyzed = json.loads(home("analyze", "tiny", "--json").ok().out)
    assert "grey" not in json.dumps(analyzed)
    out = home.folder / "report"
    with undrawn():
        home("merge", "tiny", "--data", data, "--out", out).ok()
    summary = (out / "summary.csv").read_text()
    page = (out / "report.html").read_text()
    section = page.partition('<section id="controls">')[2].partition("</section>")[0]
    assert [section.count(f"<td>{kind}</td>") for kind in KINDS] == [4, 4, 4]
    assert listed["grey"]["run_id"] not in summary
    assert home("compare", listed["real"]["run_id"], listed["grey"]["run_id"]).code == 2
    answers = json.loads(home("sql", "select count(distinct run_id) as n from accuracy", "--json").ok().out)
    assert answers == [{"n": 1}]
    sql = "select distinct control from control_accuracy order by 1"
    assert [row["control"] for row in json.loads(home("sql", sql, "--json").ok().out)] == KINDS


def test_the_figure_of_coherence_has_a_band_of_all_controls(home: Any, listed: dict[str, Any]) -> None:
    """Each of the three controls in each layer and axis, with bounds that hold 0 at the last layer."""
    from vlmprobe.settings import Settings
    from vlmprobe.store.open import open_database
    from vlmprobe.store.runs import get_run
    from vlmprobe.study.control_curves import read_control_curves

    database = open_database(Settings.load(home.folder, environ=of_home(home.folder), folder=home.folder))
    with database.transaction() as connection:
        curves = read_control_curves(connection, [get_run(connection, listed["real"]["run_id"])])
    of_axes = [curve for curve in curves if curve.metric == "axis_coherence.balanced"]
    assert [curve.target for curve in of_axes] == ["horizontal", "vertical", "distance"] * 3
    of_angles = [curve.target for curve in curves if curve.metric == "vd_ei.corrected"]
    assert of_angles == ["vertical/distance", "horizontal/vertical", "horizontal/distance"] * 3
    for curve in of_axes:
        assert (curve.layers, curve.scale, curve.n, curve.n_images) == (tuple(range(6)), "2m", 36, 36)
        assert curve.low[-1] <= 0 <= curve.high[-1]


def test_grey_pictures_have_their_own_size_and_nothing_else(data: Path) -> None:
    """Mid-grey in each channel; an image takes as many tokens as the real one."""
    dataset = read_dataset(data)
    grey = ControlPictures(dataset, Control("grey"))
    for pair in dataset.pairs[:6]:
        image = grey.image(pair)
        assert (image.size, image.mode) == ((pair.image_width, pair.image_height), "RGB")
        assert set(np.asarray(image).ravel().tolist()) == {128}


def test_no_pair_keeps_its_own_picture(home: Any, data: Path, rows: Any) -> None:
    """Each image is shown once, in another's place; which one is kept with the run."""
    dataset = read_dataset(data)
    ((config,),) = rows(home.folder, "SELECT config FROM runs WHERE control = 'other-image:0'")
    shown = json.loads(config)["control"]["images"]
    images = {pair.image_sha256 for pair in dataset.pairs}
    assert set(shown) == set(shown.values()) == images
    assert all(own != other for own, other in shown.items())
    assert shown == exchanged_images(images, 0) != exchanged_images(images, 1)
    pictures = ControlPictures(dataset, Control("other-image", 0))
    by_image = {pair.image_sha256: pair for pair in dataset.pairs}
    pair = dataset.pairs[0]
    expected = dataset.image(by_image[shown[pair.image_sha256]])
    assert np.array_equal(np.asarray(pictures.image(pair)), np.asarray(expected))


def test_a_control_needs_a_complete_run_with_the_same_settings(home: Any, data: Path) -> None:
    """What it would serve is named with the command that makes it; nothing is loaded."""
    for more in (("--scale", "80k"), ("--scale", "2m", "--layers", "0,5")):
        ran = home("extract", "tiny", *more, "--data", data, "--control", "grey")
        assert ran.code == 2
        assert "with the same settings, and there is no such run; run 'vlmprobe extract tiny" in ran.errors[0]
        assert "loading" not in ran.err
    assert "no complete run" in home("control", "tiny", "--scale", "80k", "--data", data).errors[0]


@pytest.mark.parametrize(
    ("control", "says"),
    [
        ("gray", "there is no such control; choose from grey, other-image, random-weights, other-axis"),
        ("grey:1", "grey draws nothing"),
        ("other-image:x", "a seed is a whole number"),
        ("random-weights:", "a seed is a whole number"),
        ("shuffled-labels", "asks the model nothing"),
    ],
)
def test_odd_kinds_are_refused_in_one_line(inside: Any, tmp_path: Path, control: str, says: str) -> None:
    """Before the benchmark is read."""
    command = ("extract", "tiny", "--scale", "2m", "--data", tmp_path / "none.tsv", "--control", control)
    ran = inside(*command, "--home", tmp_path)
    assert ran.code == 2
    (line,) = ran.errors
    assert says in line


@pytest.mark.full
def test_controls_are_renamed_and_removed_with_their_run(
    inside: Any, data: Path, mlflow_store: dict[str, str], tmp_path: Path
) -> None:
    """Under the new name the same command finds them complete; without the run they go."""

    def run(*command: object) -> Any:
        return inside(*command, "--home", tmp_path, **mlflow_store)

    of_80k = ("extract", "tiny", "--data", data, "--max-per-category", 1)
    run(*of_80k, "--scale", "80k").ok()
    run(*of_80k, "--scale", "80k", "--control", "grey").ok()
    run("runs", "rename", "80k", "early").ok()
    (real, grey) = json.loads(run("runs", "--controls", "--json").ok().out)
    assert (real["scale"], grey["scale"], grey["control"]) == ("early", "early", "grey")
    refused = run("runs", "rename", grey["run_id"], "other")
    assert refused.code == 2
    assert f"rename the run that it serves, {real['run_id']}" in refused.errors[0]
    again = run(*of_80k, "--scale", "early", "--checkpoint", real["checkpoint"], "--control", "grey").ok()
    assert "complete already" in again.err
    removed = run("runs", "rm", real["run_id"], "--yes").ok()
    assert "and its controls grey" in removed.err
    assert json.loads(run("runs", "--controls", "--json").ok().out) == []
    assert list((tmp_path / "spool").iterdir()) == []


@pytest.mark.full
def test_a_family_that_would_load_real_weights_is_refused(
    inside: Any, data: Path, mlflow_store: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code that does not know of random weights must not fill a control with the trained ones."""

    def run(*command: object) -> Any:
        return inside(*command, "--home", tmp_path, **mlflow_store)

    of_80k = ("extract", "tiny", "--scale", "80k", "--data", data, "--max-per-category", 1)
    run(*of_80k).ok()
    trained = Tiny.load

    def ignoring(options: Any) -> Any:
        return trained(replace(options, random_weights=None))

    monkeypatch.setattr(Tiny, "load", ignoring)
    ran = run(*of_80k, "--control", "random-weights")
    assert ran.code != 0
    assert "cannot initialize random weights" in ran.errors[-1]
    of_usual = ("control", "tiny", "--data", data, "--max-per-category", 1)
    usual = run(*of_usual)
    assert usual.ok()
    assert "cannot initialize random weights" in usual.err
    kinds = {row["control"] for row in json.loads(run("runs", "--controls", "--json").ok().out)}
    assert {"grey", "other-image:0"} <= kinds
    named = run(*of_usual, "--kinds", "random-weights:0")
    assert named.code != 0


@pytest.mark.parametrize(
    ("option", "value", "own"), [("--layers", "0,1", "all"), ("--dtype", "bfloat16", "float32")]
)
def test_a_control_has_the_settings_of_its_run(
    home: Any, data: Path, option: str, value: str, own: str
) -> None:
    """Others are refused in one line, rather than left aside."""
    ran = home("control", "tiny", "--data", data, "--kinds", "grey", option, value)
    assert ran.code == 2
    assert (
        f"{option}: a control has that of the run that it serves, which is {own}; leave it out"
        in ran.errors[-1]
    )


def test_kinds_are_read_as_they_are_stored() -> None:
    """A seed that is not named is 0, and a kind that comes twice counts once."""
    assert kind_list(["grey", " other-image", "other-image:0", "random-weights:3", "shuffled-labels:1"]) == (
        "grey",
        "other-image:0",
        "random-weights:3",
        "shuffled-labels:1",
    )
    assert kind_list(USUAL) == USUAL
    with pytest.raises(UsageError, match="--kinds 'shuffled-labels:x': a seed is a whole number"):
        kind_list(["shuffled-labels:x"])
