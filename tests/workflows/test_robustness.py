"""What ``robustness`` says of the demo: from stored states alone, and why a number is missing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.analysis.catalog import ROBUSTNESS
from vlmprobe.analysis.controls.readout import TOO_EARLY
from vlmprobe.analysis.entries import Interval
from vlmprobe.study.robustness import NO_OUTPUT_LAYER, NOT_BALANCED

from ..postgres_server import copied_home

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEMPLATES = ("published", "yes-no", "yes-no-opposite")
AXES = ("horizontal", "vertical", "distance")


@pytest.fixture(scope="module")
def data(benchmark: Callable[..., Path]) -> Path:
    """Draw 32 pairs an axis."""
    return benchmark(16)


@pytest.fixture(scope="module")
def home(
    inside: Any, data: Path, mlflow_store: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """Extract the longest trained scale under the templates that counterbalance; return how to run a command."""
    folder = tmp_path_factory.mktemp("robustness")

    def run(*command: object) -> Any:
        return inside(*command, "--home", folder, **mlflow_store)

    run.folder = folder  # type: ignore[attr-defined]
    run(
        "extract",
        "tiny",
        "--scale",
        "2m",
        "--data",
        data,
        "--batch-size",
        16,
        "--templates",
        ",".join(TEMPLATES),
    ).ok()
    return run


@pytest.fixture(scope="module")
def read(home: Any, data: Path) -> Callable[..., list[dict[str, Any]]]:
    """Read the rows of a layer."""

    def rows(*options: object) -> list[dict[str, Any]]:
        return json.loads(home("robustness", "tiny", "--data", data, "--json", *options).ok().out)

    return rows


@pytest.fixture(scope="module")
def last(read: Callable[..., list[dict[str, Any]]]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the rows of the last layer, which is read since no layer is recommended, by metric and target."""
    return {(row["metric"], row["target"]): row for row in read()}


def test_near_the_output_the_axis_is_the_word(last: dict[tuple[str, str], dict[str, Any]]) -> None:
    """Nearly all lies along the answer's words and turns with them; without them far less than without random ones."""
    assert {(row["layer"], row["layer_is"]) for row in last.values()} == {(5, "last")}
    for axis in AXES:
        assert last["answer_balanced.space_share", axis]["ci_high"] < 0.2
        assert last["readout_share", axis]["ci_low"] > 0.5 > last["readout_share", f"{axis}@random"]["value"]
        left, random = (last["axis_coherence.without_readout", axis + part] for part in ("", "@random"))
        assert left["ci_high"] < random["value"]
        assert "20 draws" in random["note"]


def test_the_transfer_matrix_has_the_sign_of_the_word(last: dict[tuple[str, str], dict[str, Any]]) -> None:
    """A direction of ``yes-no`` is wrong about nearly every pair of ``yes-no-opposite``; its own diagonal is right."""
    sets = [f"{template}:{axis}" for template in TEMPLATES for axis in AXES]
    assert {target for metric, target in last if metric == "direction.accuracy"} == set(sets)
    assert len([target for metric, target in last if metric == "transfer"]) == 9 * 8
    assert last["direction.accuracy", "yes-no:horizontal"]["value"] > 0.9
    assert last["transfer", "yes-no:horizontal->yes-no-opposite:horizontal"]["value"] < 0.1


def test_all_four_inner_products_are_there(last: dict[tuple[str, str], dict[str, Any]]) -> None:
    """And the word that sums them up, which a missing number makes ``not known``."""
    products = ("euclid", "zscore", "within", "causal")
    for axis in AXES:
        assert all(last["axis_coherence.metric", f"{axis}@{each}"]["value"] > 0 for each in products)
        assert 0 < last["rogue_share", f"{axis}@top1"]["value"] < last["rogue_share", f"{axis}@top3"]["value"]
        assert last["participation_ratio", f"{axis}@deltas"]["value"] >= 1
    cosines = [last["vd_ei.metric", f"vertical/distance@{each}"] for each in products]
    known = all(row["value"] is not None for row in cosines)
    assert {row["note"] for row in cosines} <= ({"robust", "not robust"} if known else {"not known"})
    assert "anisotropy" in {metric for metric, _ in last}
    assert {metric for metric, _ in last} <= {*ROBUSTNESS, "order_coherence"}


def test_only_what_was_simulated_has_an_interval(last: dict[tuple[str, str], dict[str, Any]]) -> None:
    """The catalog says which numbers stand alone, and so does the table of simulations; all are printed."""
    assert set(ROBUSTNESS) - {metric for metric, _ in last} <= {
        f"probe.{part}" for part in ("accuracy", "control", "selectivity")
    }
    alone = {name for name, entry in ROBUSTNESS.items() if entry.interval is Interval.NOT_COVERING}
    assert alone & {metric for (metric, _), row in last.items() if row["ci_low"] is not None} == set()


@pytest.mark.parametrize("layer", [0, 1])
def test_in_the_first_layers_there_is_nothing(read: Callable[..., list[dict[str, Any]]], layer: int) -> None:
    """Refutes: every share is NULL, VD-EI too, and a direction tells no more than chance."""
    found = read("--layer", layer)
    shares = {"answer_balanced.space_share", "readout_share", "axis_coherence.without_readout", "rogue_share"}
    missing = [row for row in found if row["metric"] in {*shares, "vd_ei.metric", "vd_ei.answer_balanced"}]
    assert len(missing) == 3 * 5 + 3 * 4 + 3
    assert {row["value"] for row in missing} == {None}
    assert all(row["reason"] for row in missing)
    assert {row["reason"] for row in missing if row["metric"] == "readout_share"} == {TOO_EARLY}
    assert {row["note"] for row in missing if row["metric"] == "vd_ei.metric"} == {"not known", ""}
    of_space = [row for row in found if row["metric"] == "axis_coherence.answer_balanced"]
    assert all(row["ci_low"] <= 0 for row in of_space)


@pytest.mark.full
def test_an_older_run_says_what_is_missing_and_gets_it_without_asking(
    home: Any, data: Path, tmp_path: Path, inside: Any, mlflow_store: dict[str, str]
) -> None:
    """Without the file there is no causal product and no readout; ``--unembedding`` writes the same file again."""
    copied_home(home.folder, tmp_path / "home")
    (kept,) = (tmp_path / "home" / "unembeddings").iterdir()
    before = kept.read_bytes()
    kept.unlink()

    def run(*command: object) -> Any:
        return inside(*command, "--home", tmp_path / "home", **mlflow_store).ok()

    rows = json.loads(run("robustness", "tiny", "--data", data, "--json").out)
    without = {row["metric"] for row in rows if row["reason"] == NO_OUTPUT_LAYER}
    assert without == {
        "axis_coherence.metric",
        "vd_ei.metric",
        "readout_share",
        "axis_coherence.without_readout",
    }
    assert {row["note"] for row in rows if row["target"] == "vertical/distance@euclid"} == {"not known"}
    extract = ("extract", "tiny", "--scale", "2m", "--data", data, "--batch-size", 16)
    assert "loading" not in run(*extract).err
    assert not kept.exists()
    again = run(*extract, "--unembedding")
    assert "0 pairs extracted" in again.err
    assert kept.read_bytes() == before


def test_a_control_needs_both_templates(
    read: Callable[..., list[dict[str, Any]]], home: Any, data: Path
) -> None:
    """A table for people has a line for each reason; runs of another checkpoint do not count."""
    shown = home("robustness", "tiny", "--data", data).ok()
    assert "answer_following: fewer than 10 pairs" in shown.err
    assert NOT_BALANCED not in shown.err
    assert "(last)" in shown.out
    assert shown.out.count("direction_of") == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--probe", "--splits", "random"), "--splits random: the two questions of a pair"),
        (("--probe", "--splits", "image"), "unknown split 'image'; known: object-disjoint"),
        (("--splits", "image-grouped"), "--splits needs --probe"),
        (("--scale", "80k"), "no complete run matches"),
        (("--layer", "9"), "has no layer 9; it has [0, 1, 2, 3, 4, 5]"),
        (("--template", "mention-swapped"), "no run with template mention-swapped"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(
    home: Any, data: Path, options: tuple[str, ...], says: str
) -> None:
    """Exit code 2."""
    ran = home("robustness", "tiny", "--data", data, *options)
    assert ran.code == 2
    (line,) = ran.errors
    assert says in line


def test_a_probe_needs_its_package(home: Any, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line with what to install."""
    monkeypatch.setitem(__import__("sys").modules, "sklearn.linear_model", None)
    ran = home("robustness", "tiny", "--data", data, "--probe")
    assert ran.code == 2
    assert "pip install 'vlmprobe[probe]'" in ran.errors[0]


def test_the_probe_of_the_demo(read: Callable[..., list[dict[str, Any]]]) -> None:
    """Accuracy, control and selectivity of each axis, on the split that was asked for."""
    found = [row for row in read("--probe", "--splits", "image-grouped") if row["table"] == "probe"]
    assert [row["metric"] for row in found] == ["probe.accuracy", "probe.control", "probe.selectivity"] * 3
    assert {row["target"] for row in found} == {f"{axis}/image-grouped" for axis in AXES}
    for accuracy, control, above in (found[place : place + 3] for place in (0, 3, 6)):
        assert accuracy["value"] > 0.8
        assert above["value"] == pytest.approx(accuracy["value"] - control["value"])
