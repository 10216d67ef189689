"""A layer that does not fit into memory is read in blocks of pairs; its numbers are those of the whole."""

from __future__ import annotations

import numpy as np
import pytest

from vlmprobe.analysis import blocks
from vlmprobe.pairs import SPACE
from vlmprobe.store.arrays import Quads
from vlmprobe.study.run_metrics import run_metrics

N, DIM, LAYERS = 240, 72, (3, 7)


class Arrays:
    """A run as the analysis reads it; ``whole`` says whether a layer may be read at once."""

    def __init__(self, *, whole: bool) -> None:
        self.whole, self.largest = whole, 0
        rng = np.random.default_rng(0)
        names = [str(SPACE.categories[place % 6]) for place in range(N)]
        lean = {name: rng.normal(size=DIM) for name in set(names)}
        self.planes = {
            layer: (rng.normal(size=(N, 2, DIM)) + [[[0.0] * DIM, lean[name]] for name in names]).astype(
                np.float32
            )
            for layer in LAYERS
        }
        self.layers, self.dim, self.axis_set, self.categories = list(LAYERS), DIM, SPACE, names
        # Some images have several pairs.
        self.images = [f"image {place if place % 5 else 0}" for place in range(N)]
        self.pair_ids = [str(place) for place in range(N)]
        self.axes = [str(SPACE.category(name).axis) for name in names]
        self.both_correct = rng.random(N) < 0.7
        self.perspectives = [
            ("counter" if place % 12 < 6 else "consistent") if axis == "distance" else None
            for place, axis in enumerate(self.axes)
        ]
        self.layer_bytes = self.planes[LAYERS[0]].nbytes
        self.quads = Quads((), None, None, None, None, None)

    def layer(self, layer):
        """Return all states."""
        assert self.whole
        return self.planes[layer]

    def rows(self, layer, places):
        """Return the states of some pairs."""
        self.largest = max(self.largest, len(places))
        return self.planes[layer][places]


@pytest.fixture(scope="module")
def both():
    """Analyze the run as a whole, and in blocks of 16 pairs."""
    whole, parts = Arrays(whole=True), Arrays(whole=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "_BLOCK", 16 * 8 * DIM)
        return run_metrics(whole, lambda _: None), run_metrics(parts, lambda _: None, memory=1), parts


def test_every_metric_is_the_same_to_the_last_bit(both):
    """Sums follow the same order, whoever reads the states."""
    (whole, _), (parts, _), _ = both

    assert [repr(metric) for metric in parts] == [repr(metric) for metric in whole]
    assert len(whole) > 300


def test_shares_of_components_agree_to_five_digits(both):
    """They come from products of dimensions instead of from the vectors."""
    (_, whole), (_, parts), _ = both
    names = [(row["name"], row["subset"], row["layer"]) for row in whole]

    assert [(row["name"], row["subset"], row["layer"]) for row in parts] == names
    for one, other in zip(whole, parts, strict=True):
        if one["name"] == "pca":
            for kind, shares in one["value"].items():
                assert other["value"][kind] == pytest.approx(shares, rel=1e-5)


def test_no_layer_is_read_as_a_whole(both):
    """Blocks are of 16 pairs; only those of one axis, for the perspectives, are read together."""
    *_, parts = both

    assert parts.largest == N // 3
