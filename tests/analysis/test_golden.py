"""The numbers of the public reference implementation: 134 pairs, 3 layers, 32 dimensions."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from vlmprobe.analysis import category_pairs, category_validity, layer_metrics
from vlmprobe.pairs.axes import SPACE

GOLDEN = Path(__file__).parents[1] / "golden" / "molmo_400k"
LAYERS = [0, 1, 2]
SUBSETS = {"all": "all_pairs", "both_correct": "both_correct"}


def meets(value, golden):
    """Apply the promised tolerance: absolute plus relative (pytest.approx takes the larger one)."""
    return abs(value - golden) <= 1e-6 + 1e-6 * abs(golden)


def golden_json(name):
    """Read one JSON file of the reference."""
    return json.loads((GOLDEN / "json" / name).read_text())


def golden_csv(name):
    """Read one CSV table of the reference as row -> column -> number."""
    with (GOLDEN / "csv" / name).open(newline="") as file:
        return {row.pop(""): {key: float(text) for key, text in row.items()} for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def metrics():
    """Compute everything once, without resamples."""
    vectors = np.load(GOLDEN / "npz" / "vectors_400k.npz")
    return {
        (metric.name, metric.subset, metric.target, metric.layer): metric
        for layer in LAYERS
        for metric in layer_metrics(
            vectors[f"orig_L{layer}"],
            vectors[f"swap_L{layer}"],
            vectors[f"categories_L{layer}"],
            vectors[f"indices_L{layer}"],
            layer=layer,
            both_correct=vectors[f"is_correct_orig_L{layer}"] & vectors[f"is_correct_swap_L{layer}"],
            intervals=False,
        )
    }


@pytest.mark.parametrize("subset", SUBSETS)
@pytest.mark.parametrize(
    ("name", "file", "count"),
    [
        ("axis_coherence", "axis_coherence", 9),
        ("within_category_consistency", "within_cat_consistency", 18),
    ],
)
def test_mean_and_spread_of_pairwise_cosines_are_the_golden_ones(metrics, subset, name, file, count):
    """Mean, standard deviation and count agree for every category or axis and layer."""
    golden = golden_json(f"{file}_400k_{SUBSETS[subset]}.json")

    assert len(golden) == count
    for key, expected in golden.items():
        target, layer = key.split("_L")
        metric = metrics[name, subset, target, int(layer)]
        assert meets(metric.value, expected["mean"]), key
        assert meets(metric.std, expected["std"]), key
        assert metric.n == expected["n"], key


@pytest.mark.parametrize("subset", SUBSETS)
@pytest.mark.parametrize("layer", LAYERS)
def test_similarities_of_mean_deltas_are_the_golden_ones(metrics, subset, layer):
    """All 15 cells above the diagonal agree, and so do the 15 below it."""
    golden = golden_csv(f"delta_similarity_400k_L{layer}_{SUBSETS[subset]}.csv")

    for first, second in category_pairs(SPACE):
        value = metrics["delta_similarity", subset, f"{first}/{second}", layer].value
        assert meets(value, golden[first][second]), (first, second)
        assert meets(value, golden[second][first]), (second, first)


@pytest.mark.parametrize("subset", SUBSETS)
@pytest.mark.parametrize("layer", LAYERS)
def test_mean_delta_norms_are_the_golden_ones(metrics, subset, layer):
    """The mean length of the deltas of each category agrees."""
    golden = golden_csv(f"delta_norm_400k_L{layer}_{SUBSETS[subset]}.csv")

    assert len(golden) == 6
    for category, row in golden.items():
        assert meets(metrics["delta_norm", subset, category, layer].value, row["norm"]), category


@pytest.mark.parametrize(
    ("name", "file"), [("vd_ei.pooled", "vd_ei_400k.json"), ("vd_ei.eq3", "vd_ei_eq3.json")]
)
def test_entanglement_of_vertical_and_distance_is_the_golden_one(metrics, name, file):
    """Both forms of VD-EI agree in every layer."""
    golden = golden_json(file)

    assert sorted(golden) == ["0", "1", "2"]
    for layer, expected in golden.items():
        assert meets(metrics[name, "all", "vertical/distance", int(layer)].value, expected), layer


def test_category_validity_is_the_golden_one():
    """Counts, accuracies and verdicts agree for all six categories."""
    vectors = np.load(GOLDEN / "npz" / "vectors_400k.npz")

    validity = category_validity(
        vectors["categories_L0"], vectors["is_correct_orig_L0"], vectors["is_correct_swap_L0"]
    )

    golden = golden_json("category_validity_400k.json")
    assert list(validity) == list(golden)
    for category, expected in golden.items():
        assert validity[category].n == expected["n"]
        assert validity[category].reliable is expected["reliable"]
        assert meets(validity[category].acc_orig, expected["acc_orig"])
        assert meets(validity[category].acc_swap, expected["acc_swap"])
