"""The reference implementation's folder, read, computed again and written: every value, file by file."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from vlmprobe.analysis import layer_metrics
from vlmprobe.analysis.alignment import alignment_metrics
from vlmprobe.analysis.layer_choice import layer_candidates
from vlmprobe.interop import ScaleResults, read_results, write_results

FILES = sorted(
    str(path.relative_to(Path(__file__).parents[1] / "golden" / "molmo_400k"))
    for path in (Path(__file__).parents[1] / "golden" / "molmo_400k").rglob("*.*")
)


def computed(run):
    """Compute every number of a run that the old layout has a place for."""
    pairs, quads = run.data.pairs, run.data.quads
    metrics = []
    for layer, states in run.data.layers.items():
        metrics += layer_metrics(
            states[:, 0],
            states[:, 1],
            [pair.category for pair in pairs],
            [pair.pair_id for pair in pairs],
            layer=layer,
            both_correct=np.array([pair.both_correct for pair in pairs]),
            intervals=False,
        )
    for layer, (vertical, distance) in quads.layers.items():
        metrics += alignment_metrics(vertical, distance, None, None, None, layer=layer)

    def curve(name, target):
        return {m.layer: m.value for m in metrics if (m.name, m.subset, m.target) == (name, "all", target)}

    coherence = {axis: curve("axis_coherence", axis) for axis in ("horizontal", "vertical", "distance")}
    candidates = layer_candidates(coherence, curve("vd_ei.pooled", "vertical/distance"), len(run.data.layers))
    return ScaleResults(metrics=metrics, candidates=candidates)


@pytest.fixture(scope="module")
def written(golden, tmp_path_factory):
    """Read the folder, compute, write, and return where the model's files are."""
    out = tmp_path_factory.mktemp("out")
    runs = read_results(golden)
    write_results(out, [(run.data, computed(run)) for run in runs])
    return out / "results" / "molmo"


def flat(content, path=""):
    """List a parsed JSON file as (path, leaf), in its order."""
    if isinstance(content, dict):
        return [leaf for key, value in content.items() for leaf in flat(value, f"{path}/{key}")]
    if isinstance(content, list):
        return [leaf for i, value in enumerate(content) for leaf in flat(value, f"{path}/{i}")]
    return [(path, content)]


def cells(path):
    """List a CSV table as ((row, column), text or number), in its order; the header is row 0."""
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    numeric = not path.name.startswith("predictions")
    return [
        ((i, j), float(text) if numeric and i and j else text)
        for i, row in enumerate(rows)
        for j, text in enumerate(row)
    ]


def leaves(path):
    """List what a file holds, comparable with the other's."""
    if path.suffix == ".json":
        return flat(json.loads(path.read_text()))
    if path.suffix == ".csv":
        return cells(path)
    with np.load(path, allow_pickle=False) as npz:
        return [(key, npz[key]) for key in npz.files]


def meets(value, golden):
    """Apply the promised tolerance to floats; everything else must be equal, and of one type."""
    if isinstance(golden, np.ndarray):
        same = value.shape == golden.shape and value.dtype == golden.dtype
        if not same or golden.dtype.kind != "f":
            return same and bool((value == golden).all())
        return bool((np.abs(value - golden) <= 1e-6 + 1e-6 * np.abs(golden)).all())
    if type(golden) is float and type(value) is float:
        return abs(value - golden) <= 1e-6 + 1e-6 * abs(golden)
    return type(value) is type(golden) and value == golden


def test_every_golden_file_is_compared():
    """14 CSV, 10 JSON and 2 NPZ files."""
    assert [sum(name.endswith(end) for name in FILES) for end in ("csv", "json", "npz")] == [14, 10, 2]


@pytest.mark.parametrize("name", FILES)
def test_the_written_file_equals_the_golden_one(golden, written, name):
    """Keys, columns, order, shapes and texts are equal, and numbers agree within 1e-6 + 1e-6 |b|."""
    expected, found = leaves(golden / name), leaves(written / name)

    assert [place for place, _ in found] == [place for place, _ in expected]
    assert [
        place for (place, value), (_, want) in zip(found, expected, strict=True) if not meets(value, want)
    ] == []


@pytest.mark.parametrize(
    "name", [name for name in FILES if "predictions" in name or name.endswith("validity_400k.json")]
)
def test_files_of_counts_and_texts_are_equal_to_the_byte(golden, written, name):
    """Nothing in them depends on rounding, so nothing may differ, not even white space."""
    assert (written / name).read_bytes() == (golden / name).read_bytes()


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith("json")])
def test_json_files_are_laid_out_as_the_golden_ones(golden, written, name):
    """Lines and indentation are equal once the numbers are taken out."""

    def layout(path):
        return [line.rstrip("0123456789.e-,") for line in path.read_text().split("\n")]

    assert layout(written / name) == layout(golden / name)


@pytest.mark.parametrize("name", ["recommend_layer", "vd_ei_eq3"])
def test_files_that_the_golden_folder_names_without_the_scale_have_it_too(written, name):
    """The only scale's file is there under both names; with several scales only under the one that tells."""
    plain, scaled = (written / "json" / f"{name}{ending}.json" for ending in ("", "_400k"))

    assert plain.read_text() == scaled.read_text()


def test_the_folder_gives_one_run_with_everything_it_knows(golden):
    """134 pairs, 3 layers of 32 dimensions and 64 quads of molmo @ 400k; questions are not known."""
    (run,) = read_results(golden)

    assert (run.data.family, run.data.scale, run.folder) == ("molmo", "400k", golden)
    first = run.data.pairs[0]
    assert (first.pair_id, first.category, first.axis, first.pred_swap) == (
        "101",
        "left",
        "horizontal",
        "right",
    )
    assert len(run.data.pairs) == 134
    assert {layer: array.shape for layer, array in run.data.layers.items()} == dict.fromkeys(
        range(3), (134, 2, 32)
    )
    assert run.data.quads.ids[::63] == ("quad/0", "quad/63")
    assert {layer: [half.shape for half in halves] for layer, halves in run.data.quads.layers.items()} == (
        dict.fromkeys(range(3), [(64, 32)] * 2)
    )


def test_a_written_folder_reads_back_as_the_same_run(golden, written):
    """Pairs, answers, states and quads survive the way out and in, to the bit."""
    (before,), (after,) = read_results(golden), read_results(written)

    assert (after.data.family, after.data.scale, after.data.pairs) == ("molmo", "400k", before.data.pairs)
    for layer in range(3):
        np.testing.assert_array_equal(after.data.layers[layer], before.data.layers[layer])
        np.testing.assert_array_equal(after.data.quads.layers[layer], before.data.quads.layers[layer])
