"""``vlmprobe export directions``: vectors, what they are worth, and no direction without an axis."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import load_file

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def export(inside: Any, quad_study: Any, mlflow_store: dict[str, str]) -> Any:
    """Export directions from a home with a trained scale, 2m, and one that has learned nothing, vanilla."""

    def run(*arguments: object) -> Any:
        return inside("export", "directions", *arguments, "--home", quad_study.home, **mlflow_store)

    return run


def recommended(home: Path, rows: Any, scale: str) -> dict[str, Any]:
    """Return what is stored about the layer of a scale."""
    found = rows(
        home,
        "SELECT value FROM results_json JOIN runs USING (run_id) "
        f"WHERE name = 'recommended_layer' AND subset = 'all' AND scale = '{scale}'",
    )
    return json.loads(found[0][0])


def test_a_direction_is_written_with_what_it_is_worth(
    export: Any, quad_study: Any, rows: Any, tmp_path: Path
) -> None:
    """The recommended layer, unit vectors as NPZ, and where they come from; 10 images are too few to test them on."""
    stored = recommended(quad_study.home, rows, "2m")
    assert (stored["layer"], stored["axes"]) == (5, ["horizontal", "vertical", "distance"])
    said = export(tmp_path / "out", "tiny", "--scale", "2m", "--json").ok()
    written = [row["file"] for row in json.loads(said.out)]
    assert written == [str(tmp_path / "out" / f"tiny_2m_L5.{ending}") for ending in ("npz", "json")]
    about = json.loads((tmp_path / "out" / "tiny_2m_L5.json").read_text())
    assert (about["layer"], about["template"], about["written_although_not_resolved"]) == (5, "published", [])
    (run_id, fingerprint, dataset_id) = rows(
        quad_study.home, "SELECT run_id, fingerprint, dataset_id FROM runs WHERE scale = '2m'"
    )[0]
    assert [about[name] for name in ("run_id", "fingerprint", "dataset_id")] == [
        run_id,
        fingerprint,
        dataset_id,
    ]
    distance = about["axes"]["distance"]
    assert (distance["points_to"], distance["n"], distance["n_images"]) == ("far", 10, 10)
    assert distance["squared_length"]["ci_low"] > 0
    assert distance["sign_accuracy"]["value"] is None
    assert "halves need 40 images" in distance["sign_accuracy"]["reason"]
    with np.load(tmp_path / "out" / "tiny_2m_L5.npz") as vectors:
        assert list(vectors) == ["horizontal", "vertical", "distance"]
        assert [float(np.linalg.norm(vectors[axis])) for axis in vectors] == pytest.approx(
            [1, 1, 1], abs=1e-6
        )
        kept = vectors["distance"]
    export(tmp_path / "out", "tiny", "--scale", "2m", "--axis", "distance", "--format", "safetensors").ok()
    assert list(load_file(tmp_path / "out" / "tiny_2m_L5.safetensors")) == ["distance"]
    np.testing.assert_array_equal(load_file(tmp_path / "out" / "tiny_2m_L5.safetensors")["distance"], kept)


def test_without_an_axis_there_is_no_layer_and_no_direction(
    export: Any, quad_study: Any, rows: Any, tmp_path: Path
) -> None:
    """A model that has learned nothing: one line says why, nothing is written, and --anyway is written down."""
    assert recommended(quad_study.home, rows, "vanilla")["layer"] is None
    refused = export(tmp_path / "out", "tiny")
    assert (refused.code, len(refused.errors)) == (2, 1)
    assert "tiny @ vanilla: no layer is recommended: no axis is resolved" in refused.errors[0]
    refused = export(tmp_path / "out", "tiny", "--scale", "vanilla", "--layer", "3")
    assert (refused.code, len(refused.errors)) == (2, 1)
    assert "no resolved axis for horizontal, vertical, distance" in refused.errors[0]
    assert not (tmp_path / "out").exists()
    export(tmp_path / "out", "tiny", "--scale", "vanilla", "--layer", "3", "--anyway").ok()
    about = json.loads((tmp_path / "out" / "tiny_vanilla_L3.json").read_text())
    assert about["written_although_not_resolved"] == ["horizontal", "vertical", "distance"]
    assert about["layer_chosen"] == "given with --layer"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--axis", "up"], "unknown axis 'up'; known: horizontal, vertical, distance"),
        (["--layer", "99"], "has no layer 99"),
        (["--format", "pt"], "--format 'pt': use npz or safetensors"),
    ],
)
def test_what_is_not_there_is_said_in_a_line(
    export: Any, tmp_path: Path, words: list[str], says: str
) -> None:
    """Which, and what there is."""
    refused = export(tmp_path / "out", "tiny", "--scale", "2m", *words)
    assert (refused.code, len(refused.errors)) == (2, 1)
    assert says in refused.errors[0]


def test_a_folder_may_have_the_name_of_the_command(
    inside: Any, quad_study: Any, mlflow_store: dict[str, str], tmp_path: Path
) -> None:
    """Any path but the bare word is a folder, and options may stand before it."""
    words = ("--no-plots", "--scale", "2m", tmp_path / "directions", "tiny", "--layers", "5")
    inside("export", *words, "--home", quad_study.home, **mlflow_store).ok()
    assert (tmp_path / "directions" / "results" / "tiny" / "json" / "recommend_layer_2m.json").exists()
