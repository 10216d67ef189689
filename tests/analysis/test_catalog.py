"""The catalog of metrics: what is declared is what is computed, and no other module spells a name."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

import vlmprobe
from vlmprobe.analysis import (
    CATALOG,
    AxisMetrics,
    PairGroups,
    alignment_metrics,
    layer_metrics,
    perspective_metrics,
)
from vlmprobe.analysis.catalog import entry_of
from vlmprobe.analysis.perspective_axes import PerspectiveAxes
from vlmprobe.pairs import SPACE

PACKAGE = Path(vlmprobe.__file__).parent
#: They have the names of other programs' files, and of a training's.
OTHERS = ("interop", "demo")


def test_what_is_computed_of_a_layer_is_what_is_declared():
    """Names, versions, and every target in its order; the rest of the catalog is not per layer or no number."""
    rng = np.random.default_rng(0)
    six = ["left", "right", "above", "below", "far", "close"]
    orig, swap = rng.normal(size=(2, 6, 4))
    images = list("abcdef")
    metrics = layer_metrics(orig, swap, six, images, layer=0)
    groups = PairGroups(six, images)
    metrics += AxisMetrics(groups)(groups.products(orig, swap), layer=0).metrics
    metrics += alignment_metrics(orig, swap, ["above"] * 6, ["far"] * 6, images, layer=0)
    halves = ["consistent", "counter"] * 3
    metrics += perspective_metrics(orig, ["far"] * 6, halves, images, layer=0)

    metrics += PerspectiveAxes(six, halves, images)(orig, swap, layer=0).metrics

    computed = defaultdict(list)
    for metric in metrics:
        computed[metric.name, metric.version].append(metric.target)
    assert computed == {
        (entry.name, entry.version): list(entry.targets(SPACE))
        for entry in CATALOG.values()
        if entry.per_layer and entry.is_number
    }


def test_controls_and_curves_are_targets_of_their_metric():
    """A figure asks for what is stored."""
    for entry in CATALOG.values():
        drawn = (
            *(entry.control.targets(SPACE) if entry.control else ()),
            *(entry.curves.targets if entry.curves else ()),
        )
        assert set(drawn) <= set(entry.targets(SPACE)), entry.name


def test_a_metric_that_is_not_declared_is_called_by_its_name():
    """Curves of a caller's own can be drawn too."""
    entry = entry_of("my_own_metric")
    assert (entry.title, entry.label, entry.control) == ("my own metric", "my own metric", None)


def _literals(path: Path) -> set[str]:
    """Return the strings of a module; the names that it exports are no metrics'."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    exports = {
        id(node)
        for each in tree.body
        if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "__all__"
        for node in ast.walk(each)
    }
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in exports)
    return {node.value for node in nodes if isinstance(node.value, str)}


LITERALS = {
    path.relative_to(PACKAGE).as_posix(): _literals(path)
    for path in PACKAGE.rglob("*.py")
    if path.relative_to(PACKAGE).parts[0] not in OTHERS
}


@pytest.mark.parametrize("name", CATALOG)
def test_a_name_is_spelled_in_the_catalog_alone(name: str) -> None:
    """Other modules use the entry, so that a name is found, and a wrong one is none."""
    spelled = {path for path, literals in LITERALS.items() if name in literals}
    assert all(path.startswith("analysis/catalog/") for path in spelled)
